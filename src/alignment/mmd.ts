import { requireOptions, requireSignal } from "../common/arguments.js";
import { expected } from "../common/errors.js";
import { kernelSums, type Products } from "../native/kernels.js";
import { type ShapedArray, withTensors } from "../native/temporary.js";
import type { Tensor } from "../native/tensor.js";

/** Off-diagonal kernel values closer than this to 0 or 1 on average say nothing about the features. */
export const saturationMargin = 1e-3;

/** Squared maximum mean discrepancy of two sets of features, at one bandwidth. */
export interface SquaredMmd {
  /** V-statistic: the paper's equation 1. Never negative. */
  biased: number;
  /** U-statistic (Gretton 2012, equation 3): without the pairs (i, i). Null where a set has fewer than two rows. */
  unbiased: number | null;
  /** Mean kernel value over all pairs of different rows, within and between the sets. */
  offDiagonalMean: number;
  /**
   * True where the kernel no longer tells features apart: `offDiagonalMean`, or its part within the sets, lies below
   * 0.001, or `offDiagonalMean` lies above 0.999. The part within counts by itself because rows of the two sets come
   * in pairs (one image through two networks), which may be near each other while all else is out of reach.
   */
  saturated: boolean;
}

/** Sums of the kernel over pairs of rows at one bandwidth, ordered pairs; within a set without the pairs (i, i). */
export interface PairSums {
  rowsA: number;
  rowsB: number;
  withinA: number;
  withinB: number;
  between: number;
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
  options: { sigma?: number; products?: Products; signal?: AbortSignal } = {},
): Promise<SquaredMmd> {
  requireOptions(options);
  requireSignal(options.signal);
  const sigma = options.sigma ?? 1;
  requireSigma(sigma);
  return withTensors({ a, b }, async (rowsA, rowsB) => {
    const [sums] = await pairSums(rowsA as Tensor, rowsB as Tensor, [sigma], options);
    return squaredMmd(sums as PairSums);
  });
}

/** @throws `BAD_INPUT` unless `sigma` is a positive, finite number. */
export function requireSigma(sigma: number): void {
  if (!(Number.isFinite(sigma) && sigma > 0)) throw expected("a positive number", "sigma", sigma);
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
  }));
}

/** Both estimates of MMD² from the kernel's sums, and whether they mean anything. */
export function squaredMmd({ rowsA, rowsB, withinA, withinB, between }: PairSums): SquaredMmd {
  const pairsA = rowsA * (rowsA - 1);
  const pairsB = rowsB * (rowsB - 1);
  const cross = (2 * between) / (rowsA * rowsB);
  // Each of the pairs (i, i) adds a kernel value of 1. Rounding alone can bring a sum of squares below 0.
  const biased = Math.max(0, (rowsA + withinA) / rowsA ** 2 + (rowsB + withinB) / rowsB ** 2 - cross);
  const unbiased = pairsA > 0 && pairsB > 0 ? withinA / pairsA + withinB / pairsB - cross : null;
  const offDiagonalMean = (withinA + withinB + 2 * between) / (pairsA + pairsB + 2 * rowsA * rowsB);
  const outOfReach = pairsA + pairsB > 0 && (withinA + withinB) / (pairsA + pairsB) < saturationMargin;
  const saturated =
    outOfReach || offDiagonalMean < saturationMargin || offDiagonalMean > 1 - saturationMargin;
  return { biased, unbiased, offDiagonalMean, saturated };
}
