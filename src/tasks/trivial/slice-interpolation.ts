import { productOf } from "../../common/numbers.js";
export type Interpolation = "linear" | "cubic";

/**
 * `factor` times as many voxels along one axis of a volume, as `interpolateSlices` does along its first.
 *
 * @param first where the first voxel lies, in voxels of the result: (factor - 1) / 2 where each is the mean of `factor`
 */
export function interpolateAlong(
  axis: number,
  coarse: Float32Array,
  shape: readonly number[],
  factor: number,
  first: number,
  method: Interpolation,
): Float32Array {
  const count = shape[axis] as number;
  const size = productOf(shape.slice(axis));
  const fine = new Float32Array(factor * coarse.length);
  for (let from = 0; from < coarse.length; from += size) {
    const part = coarse.subarray(from, from + size);
    fine.set(interpolateSlices(part, count, factor, first, method), factor * from);
  }
  return fine;
}

/**
 * `factor` times as many slices, by interpolation along the depth: `linear`, or by the natural cubic spline through all slices
 * of a voxel's column. Beyond the first and the last slice the value is theirs.
 *
 * Loops over voxels, as each of its few passes over a case takes less than the copies that a native call would need.
 *
 * @param coarse slices in row-major order
 * @param slices how many
 * @param first where the first of them lies, in slices of the result
 */
export function interpolateSlices(
  coarse: Float32Array,
  slices: number,
  factor: number,
  first: number,
  method: Interpolation,
): Float32Array {
  const size = coarse.length / slices;
  const bends = method === "cubic" ? secondDerivatives(coarse, slices) : null;
  const fine = new Float32Array(factor * coarse.length);
  for (let slice = 0; slice < factor * slices; slice++) {
    const at = Math.min(Math.max((slice - first) / factor, 0), slices - 1);
    const below = Math.min(Math.floor(at), Math.max(slices - 2, 0));
    const above = Math.min(below + 1, slices - 1);
    const u = at - below;
    const [bendBelow, bendAbove] = [((1 - u) ** 3 - (1 - u)) / 6, (u ** 3 - u) / 6];
    for (let voxel = 0; voxel < size; voxel++) {
      const low = below * size + voxel;
      const high = above * size + voxel;
      let value = (1 - u) * (coarse[low] as number) + u * (coarse[high] as number);
      if (bends) value += bendBelow * (bends[low] as number) + bendAbove * (bends[high] as number);
      fine[slice * size + voxel] = value;
    }
  }
  return fine;
}

/**
 * Of the natural cubic spline with knots one apart, at each of them: m[k-1] + 4 m[k] + m[k+1] = 6 (y[k-1] - 2 y[k] + y[k+1]),
 * and 0 at both ends.
 */
function secondDerivatives(values: Float32Array, slices: number): Float64Array {
  const size = values.length / slices;
  const bends = new Float64Array(values.length);
  const ratios = new Float64Array(slices);
  for (let slice = 1; slice < slices - 1; slice++) {
    const pivot = 4 - (ratios[slice - 1] as number);
    ratios[slice] = 1 / pivot;
    for (let at = slice * size; at < (slice + 1) * size; at++) {
      const [before, here, after] = [values[at - size], values[at], values[at + size]] as [
        number,
        number,
        number,
      ];
      bends[at] = (6 * (before - 2 * here + after) - (bends[at - size] as number)) / pivot;
    }
  }
  for (let slice = slices - 2; slice >= 1; slice--) {
    const ratio = ratios[slice] as number;
    for (let at = slice * size; at < (slice + 1) * size; at++)
      bends[at] = (bends[at] as number) - ratio * (bends[at + size] as number);
  }
  return bends;
}
