import { Tensor } from "../../native/tensor.js";
import { type CoarseGrid, coarseVoxels, factorsOf, halvesDepth } from "../coarse-grid.js";
import { type Interpolation, interpolateAlong } from "./slice-interpolation.js";
import type { Trivial, TrivialAnswer } from "./trivial.js";
import { shownImage } from "./voxels.js";

/**
 * Super-resolution by interpolation of the missing voxels, linear and cubic, one axis after the other. Intensities stay
 * within [0, 1], as the image's do.
 */
export const trivialSuperResolution = (
  grid: Pick<CoarseGrid, "downsampling"> & Partial<CoarseGrid>,
): Trivial => {
  const factors = factorsOf(grid);
  const by = (method: Interpolation): TrivialAnswer => ({
    name: `${method} interpolation`,
    answer: async (_volumes, input) => {
      const { voxels: shown, shape: shownShape } = await shownImage(input);
      const onFine = !halvesDepth(factors);
      const shape = onFine
        ? (shownShape.map((size, axis) => size / (factors[axis] as number)) as typeof shownShape)
        : shownShape;
      let voxels = onFine ? coarseVoxels(shown, shownShape, factors, shape) : shown;
      for (const [axis, factor] of factors.entries()) {
        if (factor === 1) continue;
        // In the middle of the voxels that it is the mean of, or where the one lies that was kept.
        const first = grid.downsampling === "average" ? (factor - 1) / 2 : 0;
        voxels = interpolateAlong(axis, voxels, shape, factor, first, method);
        shape[axis] = (shape[axis] as number) * factor;
      }
      using volume = Tensor.from(voxels, [1, 1, ...shape]);
      return volume.clamp(0, 1);
    },
  });
  return { name: "interpolation", fit: async () => [by("linear"), by("cubic")] };
};
