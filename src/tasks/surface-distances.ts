import type { Tensor } from "../native/tensor.js";
import { surfaceDistances as nativeSurfaceDistances, type SurfaceDistances } from "../native/volumes.js";

export type { SurfaceDistances } from "../native/volumes.js";

/**
 * Distances between the surfaces of what was found and what is there, both with at least one voxel.
 *
 * @param answer logits [D, H, W]: found above 0
 * @param truth 0 or 1, [D, H, W]
 * @param spacing in mm, [D, H, W]
 * @param tolerance in mm
 */
export const surfaceDistances = (
  answer: Tensor,
  truth: Tensor,
  spacing: readonly [number, number, number],
  tolerance: number,
): Promise<SurfaceDistances> => nativeSurfaceDistances(answer, truth, { above: 0, spacing, tolerance });
