import { compareMatchedRows } from "../native/kernels.js";
import { type ShapedArray, withTensors } from "../native/temporary.js";
import type { Tensor } from "../native/tensor.js";
import type { FeatureComparison } from "../results/distances.js";

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
