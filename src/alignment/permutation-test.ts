import { requireBoolean, requireOptions, requireSignal } from "../common/arguments.js";
import { expected, throwIfAborted } from "../common/errors.js";
import { type RandomStream, randomStream } from "../common/random.js";
import { permutedKernelSums } from "../native/kernels.js";
import { type ShapedArray, withTensors } from "../native/temporary.js";
import { Tensor } from "../native/tensor.js";
import { requireSigma, type SquaredMmd, squaredMmd } from "./mmd.js";

/** MMD² of two sets of features, and how often chance gives as much. */
export interface MmdPermutationTest extends SquaredMmd {
  /** How many random divisions of the rows were compared with the one given. */
  permutations: number;
  /**
   * The share of divisions, the given one included, whose MMD² is at least as large: never below
   * 1 / (permutations + 1). Small where the sets come from different distributions.
   */
  pValue: number;
  /** MMD² that chance exceeds in one of twenty divisions; `unbiased` where that exists, as for the p-value. */
  nullQuantile95: number;
}

/** How a permutation test is made. */
export interface PermutationTestOptions {
  /** The kernel's bandwidth, in the units of the features; default 1, the paper's. */
  sigma?: number;
  /** From 1 to 1,000,000. Default 1000: a p-value of 0.05 is then known to about 0.007. */
  permutations?: number;
  /** Of the random divisions; default 1. */
  seed?: number;
  /**
   * Row i of `a` and row i of `b` are of one case, such as one image through two networks: chance then swaps the two
   * of a case and never mixes cases. Without, rows are drawn from both sets together.
   */
  paired?: boolean;
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
 * The p-value counts the given division among the random ones (Phipson and Smyth 2010), so that it is never 0. The
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
  const { sigma = 1, permutations = 1000, seed = 1, paired = false, signal } = options;
  requireBoolean(paired, "paired");
  requireSignal(signal);
  requireSigma(sigma);
  if (!(Number.isSafeInteger(permutations) && permutations >= 1 && permutations <= 1e6)) {
    throw expected("a whole number from 1 to 1,000,000", "permutations", permutations);
  }
  if (!Number.isSafeInteger(seed)) throw expected("a whole number", "seed", seed);
  return withTensors({ a, b }, async (tensorA, tensorB) => {
    const [rowsA = 0, rowsB = 0] = [tensorA?.shape[0], tensorB?.shape[0]];
    if ((permutations + 1) * (rowsA + rowsB) > mostDraws)
      throw expected(
        `at most ${mostDraws} for permutations times rows, of which there are ${rowsA + rowsB},`,
        "permutations",
        permutations,
      );
    if (paired && rowsA !== rowsB) {
      throw expected(`${rowsA} rows in b, as many as in a, for a paired test`, "b", rowsB);
    }
    const stream = randomStream(seed, "mmd", "permutations");
    const divisions = await drawDivisions(stream, rowsA, rowsB, permutations, paired, signal);
    using members = Tensor.from(divisions, [permutations + 1, rowsA + rowsB]);
    const sums = await permutedKernelSums(tensorA as Tensor, tensorB as Tensor, sigma, members, signal);
    const all = sums.sumAB.map((between, index) =>
      squaredMmd({
        rowsA,
        rowsB,
        withinA: sums.sumAA[index] as number,
        withinB: sums.sumBB[index] as number,
        between,
      }),
    );
    const [given, ...random] = all as [SquaredMmd, ...SquaredMmd[]];
    const statistic = ({ unbiased, biased }: SquaredMmd) => unbiased ?? biased;
    const chance = Float64Array.from(random, statistic).sort();
    const least = statistic(given) - rounding * (Math.abs(statistic(given)) + given.offDiagonalMean);
    const atLeast = chance.filter((value) => value >= least).length;
    return {
      ...given,
      permutations,
      pValue: (1 + atLeast) / (1 + permutations),
      nullQuantile95: chance[Math.ceil(0.95 * permutations) - 1] as number,
    };
  });
}

/** Which pooled rows are in the first set, [permutations + 1, N + M]: first as given, then at random. */
async function drawDivisions(
  stream: RandomStream,
  rowsA: number,
  rowsB: number,
  permutations: number,
  paired: boolean,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const rows = rowsA + rowsB;
  const divisions = new Uint8Array((permutations + 1) * rows);
  const order = Uint32Array.from({ length: rows }, (_, row) => row);
  divisions.fill(1, 0, rowsA);
  for (let division = 1; division <= permutations; division++) {
    const own = divisions.subarray(division * rows, (division + 1) * rows);
    if (paired) {
      for (let row = 0; row < rowsA; row++) own[stream.integer(0, 1) === 1 ? row : rowsA + row] = 1;
    } else {
      // The first rows of a Fisher-Yates shuffle, which may begin with any order.
      for (let place = 0; place < rowsA; place++) {
        const other = stream.integer(place, rows - 1);
        const row = order[other] as number;
        order[other] = order[place] as number;
        order[place] = row;
        own[row] = 1;
      }
    }
    if (division % 64 === 0) {
      await new Promise(setImmediate);
      throwIfAborted(signal);
    }
  }
  return divisions;
}
