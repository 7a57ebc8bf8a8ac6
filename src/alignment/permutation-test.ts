import { requireBoolean, requireOptions, requireSignal } from "../common/arguments.js";
import { expected } from "../common/errors.js";
import { randomStream } from "../common/random.js";
import { permutedKernelSums } from "../native/kernels.js";
import { type ShapedArray, withTensors } from "../native/temporary.js";
import { Tensor } from "../native/tensor.js";
import { divide, isExact, planDivisions } from "./divisions.js";
import { estimatesOf, requireAsManyRows, requireSigma, type SquaredMmd, squaredMmd } from "./mmd.js";

/** MMD² of two sets of features, and how often chance gives as much. */
export interface MmdPermutationTest extends SquaredMmd {
  /** How many random divisions of the rows were compared with the one given; where `exact`, all there are, that one included. */
  permutations: number;
  /** Whether every division was tried: they are few, and the p-value is no estimate. */
  exact: boolean;
  /**
   * The share of divisions, the given one included, whose MMD² is at least as large: never below
   * 1 / (permutations + 1), or 1 / permutations where `exact`. Small where the sets come from different distributions.
   */
  pValue: number;
  /** MMD² that chance exceeds in one of twenty divisions; `unbiased` where that exists, as for the p-value. */
  nullQuantile95: number;
}

/** How a permutation test is made. */
export interface PermutationTestOptions {
  /** The kernel's bandwidth, in the units of the features; default 1, the paper's. */
  sigma?: number;
  /**
   * How many random divisions to compare with, from 1 to 1,000,000. Default 1000: a p-value of 0.05 is then known to about
   * 0.007. Where there are no more divisions than this, or than 4,096, all are tried in their place.
   */
  permutations?: number;
  /** Of the random divisions; default 1. */
  seed?: number;
  /**
   * Row i of `a` and row i of `b` are of one case, such as one image through two networks: chance then swaps the two
   * of a case and never mixes cases. Without, rows are drawn from both sets together.
   */
  paired?: boolean;
  /**
   * Whose each row of `a` and of `b` is, where a patient may have several: chance moves all rows of a patient together,
   * since they are not independent. A patient with rows in both sets has them swapped; the others are divided anew.
   */
  patients?: { a: readonly string[]; b: readonly string[] };
  /** Stops the work. */
  signal?: AbortSignal;
}

/** All divisions of the rows are drawn before the first is computed: a byte for each row. */
const mostDraws = 2 ** 32;

/** Divisions whose MMD² differs from the given one's by less than rounding are as large. */
const rounding = 1e-10;

/**
 * Permutation test of MMD² (Gretton et al., "A kernel two-sample test", 2012, section 5): are two sets of features from
 * one distribution? All divisions are computed from the same tiles of kernel values, in float64.
 *
 * Where the divisions are few, all are tried, and the p-value is exact. Otherwise it counts the given division among the
 * random ones (Phipson and Smyth 2010), so that it is never 0. The
 * draws come from the stream `("mmd", "permutations")` under `seed`.
 *
 * @param a features [N, d], float32 or float64: a tensor, or an array with its shape
 * @param b features [M, d]; as many as in `a` with `paired`
 * @throws `BAD_INPUT` for shapes that do not fit, values that are not finite, or options out of range; `ABORTED`
 *
 * @example
 * import { mmdPermutationTest } from "transfer-limits";
 *
 * const a = { data: Float32Array.of(0, 1, 2, 3), shape: [2, 2] };
 * const b = { data: Float32Array.of(1, 1, 2, 2), shape: [2, 2] };
 * const { unbiased, pValue } = await mmdPermutationTest(a, b, { sigma: 2, permutations: 100, seed: 1 });
 * console.log(unbiased, pValue);
 */
export async function mmdPermutationTest(
  a: Tensor | ShapedArray,
  b: Tensor | ShapedArray,
  options: PermutationTestOptions = {},
): Promise<MmdPermutationTest> {
  requireOptions(options);
  const { sigma = 1, permutations = 1000, seed = 1, paired = false, patients, signal } = options;
  requireBoolean(paired, "paired");
  requireSignal(signal);
  requireSigma(sigma);
  if (!(Number.isSafeInteger(permutations) && permutations >= 1 && permutations <= 1e6)) {
    throw expected("a whole number from 1 to 1,000,000", "permutations", permutations);
  }
  if (!Number.isSafeInteger(seed)) throw expected("a whole number", "seed", seed);
  return withTensors({ a, b }, async (tensorA, tensorB) => {
    const [setA, setB] = [tensorA as Tensor, tensorB as Tensor];
    const [rowsA = 0, rowsB = 0] = [setA.shape[0], setB.shape[0]];
    const rows = rowsA + rowsB;
    if (paired) requireAsManyRows(setA, setB);
    const plan = planDivisions(namesOfRows(rowsA, rowsB, paired, patients), rowsA);
    if (!isExact(plan, permutations) && (permutations + 1) * rows > mostDraws)
      throw expected(
        `at most ${mostDraws} for permutations times rows, of which there are ${rows},`,
        "permutations",
        permutations,
      );
    const stream = randomStream(seed, "mmd", "permutations");
    const { members: divisions, exact } = await divide(plan, permutations, stream, signal);
    const count = divisions.length / rows;
    using members = Tensor.from(divisions, [count, rows]);
    const sums = await permutedKernelSums(setA, setB, sigma, members, signal);
    // Patients with several rows, moved as a whole, may make the sets larger or smaller.
    const sizes = Array.from({ length: count }, (_, index) =>
      divisions.subarray(index * rows, (index + 1) * rows).reduce((sum, member) => sum + member, 0),
    );
    const sumsOf = (index: number) => ({
      rowsA: sizes[index] as number,
      rowsB: rows - (sizes[index] as number),
      withinA: sums.sumAA[index] as number,
      withinB: sums.sumBB[index] as number,
      between: sums.sumAB[index] as number,
      matched: sums.sumMatched[0] ?? null,
    });
    const unbiased = sizes.every((size) => size > 1 && rows - size > 1);
    const statistics = Float64Array.from(sizes, (_, index) => {
      const estimates = estimatesOf(sumsOf(index), paired);
      return unbiased ? (estimates.unbiased as number) : estimates.biased;
    });
    const given = squaredMmd(sumsOf(0), paired);
    const own = statistics[0] as number;
    const least = own - rounding * (Math.abs(own) + given.offDiagonalMean);
    const atLeast = statistics.filter((value) => value >= least).length;
    const chance = statistics.subarray(exact ? 0 : 1).sort();
    return {
      ...given,
      permutations: chance.length,
      exact,
      pValue: atLeast / count,
      nullQuantile95: chance[Math.ceil(0.95 * chance.length) - 1] as number,
    };
  });
}

/** Whose each pooled row is: what chance moves as a whole. */
function namesOfRows(
  rowsA: number,
  rowsB: number,
  paired: boolean,
  patients: PermutationTestOptions["patients"],
): (string | number)[] {
  if (patients === undefined)
    return Array.from({ length: rowsA + rowsB }, (_, row) => (paired && row >= rowsA ? row - rowsA : row));
  const list = (set: "a" | "b", rows: number): readonly string[] => {
    const names: unknown = patients?.[set];
    if (Array.isArray(names) && names.length === rows && names.every((name) => typeof name === "string"))
      return names;
    throw expected(`a name for each of the ${rows} rows of ${set}`, `patients.${set}`, names);
  };
  const [ofA, ofB] = [list("a", rowsA), list("b", rowsB)];
  const other = paired ? ofA.findIndex((name, row) => name !== ofB[row]) : -1;
  if (other >= 0)
    throw expected(
      `"${ofA[other]}" for row ${other}, as in a, for a paired test`,
      `patients.b[${other}]`,
      ofB[other],
    );
  return [...ofA, ...ofB];
}
