import { foregroundAbove } from "../common/foreground.js";
import { badImage } from "./formats/bad-image.js";
import { applyAffine, axisLength, gridToGrid, type VoxelGrid } from "./geometry.js";
import type { Image } from "./image.js";

/** Cells along each axis of an image's box in which its overlap with another box is measured. */
const cells = 24;

/**
 * Checks that a mask lies where its image lies, by position in the patient, whatever the two grids are.
 *
 * - A mask with foreground: at least `minimum` of its foreground voxels must lie inside the image.
 * - A mask without: at least `minimum` of the image's box must lie inside the mask's.
 * - With `organ` (a mask that a lesion or a zone is a part of: the gland): at least `minimum` of the foreground must
 *   lie in the organ's foreground, too.
 * - Without `organ`: a mask on the image's own grid, but mirrored (one or three axes reversed), is refused. Both
 *   boxes are the same then, and nothing tells a mask whose voxels were reversed along with its axes from one whose
 *   header alone was: labels at the wrong place, which no later step would notice.
 *
 * @param mask its values are labels (`labelled`), as are those of `organ`
 * @param minimum a share, 0 to 1
 * @throws `BAD_IMAGE` naming the mask, the image and the shares
 */
export function checkCovers(mask: Image, image: Image, minimum = 0.5, organ?: Image): void {
  const foreground = foregroundOf(mask);
  if (foreground.length === 0) {
    const covered = boxOverlap(image, mask);
    if (covered < minimum)
      throw badImage(
        mask.path,
        `it does not lie on its image: its box covers ${percent(covered)} of ${image.path}, expected at least ` +
          `${percent(minimum)} (by position in the patient)`,
      );
    return;
  }
  const inside = shareInside(mask, foreground, image, () => true);
  if (inside < minimum)
    throw badImage(
      mask.path,
      `it does not lie on its image: ${percent(inside)} of its ${foreground.length} foreground voxels lie inside ` +
        `${image.path}, expected at least ${percent(minimum)} (by position in the patient)`,
    );
  const mirrored = mirroredAxes(mask, image);
  if (organ !== undefined) {
    const share = shareInside(
      mask,
      foreground,
      organ,
      (voxel) => (organ.data[voxel] as number) > foregroundAbove,
    );
    if (share < minimum)
      throw badImage(
        mask.path,
        `it does not lie on its image: ${percent(share)} of its ${foreground.length} foreground voxels lie in the organ ` +
          `of ${organ.path}, expected at least ${percent(minimum)} (by position in the patient)${mirrorNote(mirrored)}`,
      );
  } else if (mirrored.length > 0) {
    throw badImage(
      mask.path,
      `its header puts it on ${image.path} mirrored${mirrorNote(mirrored)}; store it in the orientation of its image, ` +
        "or give a mask of the organ to tell which is right",
    );
  }
}

const percent = (share: number) => `${(100 * share).toFixed(share > 0 && share < 0.01 ? 2 : 0)} %`;

const mirrorNote = (axes: readonly string[]) =>
  axes.length === 0 ? "" : `: both have the same grid, but the mask's ${axes.join(", ")} runs the other way`;

/** Indices into `data` of all foreground voxels. */
function foregroundOf(mask: Image): number[] {
  const foreground: number[] = [];
  for (let voxel = 0; voxel < mask.data.length; voxel++)
    if ((mask.data[voxel] as number) > foregroundAbove) foreground.push(voxel);
  return foreground;
}

/** The share of the mask's `foreground` whose centres lie in a voxel of `target` that `accepts` takes. */
function shareInside(
  mask: Image,
  foreground: readonly number[],
  target: VoxelGrid,
  accepts: (voxel: number) => boolean,
): number {
  const toTarget = gridToGrid(mask.voxelToPatient, target.voxelToPatient);
  const [, H, W] = mask.shape;
  let count = 0;
  for (const voxel of foreground) {
    const index = [Math.floor(voxel / (H * W)), Math.floor(voxel / W) % H, voxel % W];
    const nearest = voxelAt(target, applyAffine(toTarget, index));
    if (nearest !== undefined && accepts(nearest)) count++;
  }
  return count / foreground.length;
}

/** The voxel of a grid that holds a point given in voxel indices, as an index into its data. */
function voxelAt(grid: VoxelGrid, point: readonly number[]): number | undefined {
  let voxel = 0;
  for (const [axis, size] of grid.shape.entries()) {
    // Half a thousandth of a voxel, for headers that store the same place with different precision.
    const position = point[axis] as number;
    if (!(position >= -0.5005 && position <= size - 0.4995)) return undefined;
    voxel = voxel * size + Math.min(Math.max(Math.round(position), 0), size - 1);
  }
  return voxel;
}

/** The share of the box of `inner` that lies in the box of `outer`, on a lattice of cells. */
function boxOverlap(inner: VoxelGrid, outer: VoxelGrid): number {
  const toOuter = gridToGrid(inner.voxelToPatient, outer.voxelToPatient);
  const positions = inner.shape.map((size) =>
    Array.from({ length: cells }, (_, cell) => ((cell + 0.5) / cells) * size - 0.5),
  ) as [number[], number[], number[]];
  let count = 0;
  for (const k of positions[0])
    for (const j of positions[1])
      for (const i of positions[2])
        if (voxelAt(outer, applyAffine(toOuter, [k, j, i])) !== undefined) count++;
  return count / cells ** 3;
}

/**
 * The axes (of "k", "j", "i") along which `mask` runs against `image`, if it has the image's own grid with an odd number
 * of axes reversed: a mirror image. Empty otherwise. An even number is a turn, which orientations as different as LPS
 * and RAS differ by, and which every writer stores along with the voxels.
 */
function mirroredAxes(mask: VoxelGrid, image: VoxelGrid): string[] {
  if (mask.shape.some((size, axis) => size !== image.shape[axis])) return [];
  const reversed = [0, 1, 2].filter((axis) => cosine(mask, image, axis) < -0.999);
  const parallel = [0, 1, 2].filter((axis) => cosine(mask, image, axis) > 0.999);
  if (reversed.length % 2 === 0 || reversed.length + parallel.length !== 3) return [];
  // The mask's first voxel must lie on the image's corner that the reversed axes lead to.
  const corner = applyAffine(gridToGrid(mask.voxelToPatient, image.voxelToPatient), [0, 0, 0]);
  const same = corner.every(
    (position, axis) =>
      Math.abs(position - (reversed.includes(axis) ? (image.shape[axis] as number) - 1 : 0)) < 1,
  );
  return same ? reversed.map((axis) => "kji"[axis] as string) : [];
}

function cosine(a: VoxelGrid, b: VoxelGrid, axis: number): number {
  const dot = [0, 1, 2].reduce(
    (sum, row) =>
      sum + (a.voxelToPatient[4 * row + axis] as number) * (b.voxelToPatient[4 * row + axis] as number),
    0,
  );
  return dot / (axisLength(a.voxelToPatient, axis) * axisLength(b.voxelToPatient, axis));
}
