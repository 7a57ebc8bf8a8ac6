import { compareMatchedRows } from "../native/kernels.js";
import { type ShapedArray, withTensors } from "../native/temporary.js";
import type { Tensor } from "../native/tensor.js";

/** How two networks' features of the same cases differ, by measures that have no bandwidth. */
export interface FeatureComparison {
  /**
   * Debiased linear CKA (Kornblith et al. 2019, with the unbiased HSIC of Song et al. 2012): 1 where the features are the
   * same but for rotation, scale and offset, about 0 where they have nothing in common, and below 0 by chance. It does not
   * grow with the number of features, as the biased form does. Null below four cases, and where a network tells no case
   * from another.
   */
  linearCka: number | null;
  /**
   * Squared orthogonal Procrustes distance (Ding et al. 2021) of the features, each network's centred and at unit Frobenius
   * norm: from 0, the same but for rotation, scale and offset, to 2. Null where a network gives all cases the same features.
   */
  procrustes: number | null;
  /**
   * How far the mean moved, in standard deviations of the cases: |mean(a) - mean(b)| / √((trace of a's covariance + that of
   * b's) / 2). Null where both networks give all cases the same features, and for one case.
   */
  meanShift: number | null;
}

/**
 * Compares the features that two networks have for the same cases, by what needs no kernel: debiased linear CKA, the
 * orthogonal Procrustes distance, and the shift of the mean. Computed in float64.
 *
 * @param a features [N, d], float32 or float64: a tensor, or an array with its shape
 * @param b features [N, d] of the same cases in the same order
 * @throws `BAD_INPUT` for shapes that differ, and values that are not finite
 *
 * @example
 * import { compareFeatures } from "transfer-limits";
 *
 * const a = { data: Float32Array.of(0, 1, 2, 3, 5, 1, 4, 2), shape: [4, 2] };
 * const b = { data: Float32Array.of(1, 0, 3, 3, 5, 2, 4, 1), shape: [4, 2] };
 * const { linearCka, procrustes, meanShift } = await compareFeatures(a, b);
 * console.log(linearCka, procrustes, meanShift);
 */
export function compareFeatures(
  a: Tensor | ShapedArray,
  b: Tensor | ShapedArray,
): Promise<FeatureComparison> {
  return withTensors({ a, b }, async (rowsA, rowsB) => {
    const { linearCka, procrustes, meanShift } = await compareMatchedRows(rowsA as Tensor, rowsB as Tensor);
    return { linearCka, procrustes, meanShift };
  });
}
