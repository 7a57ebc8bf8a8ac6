import { requireBoolean, requireOptions, requireSignal } from "../common/arguments.js";
import { expected } from "../common/errors.js";
import { kernelSums, type Products } from "../native/kernels.js";
import { type ShapedArray, withTensors } from "../native/temporary.js";
import type { Tensor } from "../native/tensor.js";
import type { DistanceFlag, KernelMeans } from "../results/distances.js";
import { flagsOf } from "./flags.js";

/** Squared maximum mean discrepancy of two sets of features, at one bandwidth. */
export interface SquaredMmd {
  /** V-statistic: the paper's equation 1. Never negative. */
  biased: number;
  /**
   * U-statistic (Gretton 2012, equation 3): without the pairs (i, i) within the sets. Where rows are `paired`, without
   * those between the sets too (lemma 6, h over pairs z = (a, b)): two rows of one case are nearer to each other than two
   * of different cases, and with them the estimate lies below 0 where the sets do not differ. Null where a set has fewer
   * than two rows.
   */
  unbiased: number | null;
  /** Mean kernel value over all pairs of different rows, within and between the sets. */
  offDiagonalMean: number;
  /** The same within each set, and between them: where rows are `paired`, between different cases only. */
  kernelMeans: KernelMeans;
  /** Why MMD² is no distance here, or that both sets are the same; empty where nothing stands against it. */
  flags: DistanceFlag[];
  /** True where MMD² is no distance: there are flags, and not `identical` alone. */
  saturated: boolean;
}

/** Sums of the kernel over pairs of rows at one bandwidth, ordered pairs; within a set without the pairs (i, i). */
export interface PairSums {
  rowsA: number;
  rowsB: number;
  withinA: number;
  withinB: number;
  between: number;
  /** Of the pairs (row i of A, row i of B), which are among those between; null unless there are as many rows in both. */
  matched: number | null;
}

/**
 * Squared maximum mean discrepancy with the Gaussian kernel `k(u, v) = exp(-|u - v|² / sigma²)` (no factor 2), as in
 * equation 1 of the paper (Gretton et al., "A kernel two-sample test", 2012).
 *
 * Computed tile by tile, with float64 sums in an order that does not depend on the number of threads.
 *
 * @param a features [N, d], float32 or float64: a tensor, or an array with its shape
 * @param b features [M, d]
 * @param options.sigma the kernel's bandwidth, in the units of the features; default 1, the paper's
 * @param options.paired row i of `a` and row i of `b` are of one case, such as one image through two networks
 * @param options.products in what many rows are multiplied; default `float32`. On a CPU with AVX-512 VNNI `int16` is about
 *   twice as fast: a kernel's value errs by less than 4e-5, and the mean over thousands of pairs by about 1e-8; where a row
 *   lies further than 4 sigma from the mean of all, float32 is taken instead. On CUDA `three-term-bfloat16` is several times
 *   faster than float32, with a relative error of about 1e-5 in each sum of kernel values, and `bfloat16` faster still, with
 *   1e-3
 * @param options.signal stops the work between two tiles
 * @throws `BAD_INPUT` for shapes that do not fit, values that are not finite, or a sigma that is not positive;
 *   `ABORTED`
 *
 * @example
 * import { mmd2 } from "transfer-limits";
 *
 * const a = { data: Float32Array.of(0, 1, 2, 3), shape: [2, 2] };
 * const b = { data: Float32Array.of(1, 1, 2, 2), shape: [2, 2] };
 * const { biased, saturated } = await mmd2(a, b, { sigma: 2 });
 * console.log(biased, saturated);
 */
export async function mmd2(
  a: Tensor | ShapedArray,
  b: Tensor | ShapedArray,
  options: { sigma?: number; paired?: boolean; products?: Products; signal?: AbortSignal } = {},
): Promise<SquaredMmd> {
  requireOptions(options);
  const { paired = false } = options;
  requireBoolean(paired, "paired");
  requireSignal(options.signal);
  const sigma = options.sigma ?? 1;
  requireSigma(sigma);
  return withTensors({ a, b }, async (rowsA, rowsB) => {
    if (paired) requireAsManyRows(rowsA as Tensor, rowsB as Tensor);
    const [sums] = await pairSums(rowsA as Tensor, rowsB as Tensor, [sigma], options);
    return squaredMmd(sums as PairSums, paired);
  });
}

/** @throws `BAD_INPUT` unless `sigma` is a positive, finite number. */
export function requireSigma(sigma: number): void {
  if (!(Number.isFinite(sigma) && sigma > 0)) throw expected("a positive number", "sigma", sigma);
}

/** @throws `BAD_INPUT` unless rows of `b` can be of the same cases as those of `a`. */
export function requireAsManyRows({ shape: [rows] }: Tensor, { shape: [other] }: Tensor): void {
  if (other !== rows) throw expected(`${rows} rows in b, as many as in a, for paired rows`, "b", other);
}

/** The kernel's sums for each of `sigmas`, in one pass over the pairs. */
export async function pairSums(
  a: Tensor,
  b: Tensor,
  sigmas: readonly number[],
  options: { products?: Products; signal?: AbortSignal | undefined } = {},
): Promise<PairSums[]> {
  const sums = await kernelSums(a, b, sigmas, options);
  return sigmas.map((_, index) => ({
    rowsA: sums.rowsA,
    rowsB: sums.rowsB,
    withinA: sums.sumAA[index] as number,
    withinB: sums.sumBB[index] as number,
    between: sums.sumAB[index] as number,
    matched: sums.sumMatched[index] ?? null,
  }));
}

/** Mean kernel value between the sets; where rows are paired, over pairs of different cases, if there are any. */
function betweenCases({ rowsA, rowsB, between, matched }: PairSums, paired: boolean): number {
  if (!paired || rowsA < 2) return between / (rowsA * rowsB);
  return (between - (matched ?? 0)) / (rowsA * (rowsA - 1));
}

/** Both estimates of MMD² from the kernel's sums. */
export function estimatesOf(sums: PairSums, paired: boolean): Pick<SquaredMmd, "biased" | "unbiased"> {
  const { rowsA, rowsB, withinA, withinB, between } = sums;
  // Each of the pairs (i, i) adds a kernel value of 1. Rounding alone can bring a sum of squares below 0.
  const within = (rowsA + withinA) / rowsA ** 2 + (rowsB + withinB) / rowsB ** 2;
  const biased = Math.max(0, within - (2 * between) / (rowsA * rowsB));
  if (rowsA < 2 || rowsB < 2) return { biased, unbiased: null };
  const apart = withinA / (rowsA * (rowsA - 1)) + withinB / (rowsB * (rowsB - 1));
  return { biased, unbiased: apart - 2 * betweenCases(sums, paired) };
}

/** Both estimates, and whether they mean anything. */
export function squaredMmd(sums: PairSums, paired: boolean): SquaredMmd {
  const { rowsA, rowsB, withinA, withinB, between } = sums;
  const pairsA = rowsA * (rowsA - 1);
  const pairsB = rowsB * (rowsB - 1);
  const estimates = estimatesOf(sums, paired);
  const kernelMeans = {
    withinA: pairsA > 0 ? withinA / pairsA : null,
    withinB: pairsB > 0 ? withinB / pairsB : null,
    between: Math.max(0, betweenCases(sums, paired)),
  };
  const flags = flagsOf(kernelMeans, estimates.biased);
  return {
    ...estimates,
    offDiagonalMean: (withinA + withinB + 2 * between) / (pairsA + pairsB + 2 * rowsA * rowsB),
    kernelMeans,
    flags,
    saturated: flags.some((flag) => flag !== "identical"),
  };
}
