import { z } from "zod";
import { Tensor } from "../native/tensor.js";
import type { PreparedAs, TaskFault } from "./faults.js";
import { voxelsOf } from "./trivial/voxels.js";

/** The axes of a volume [D, H, W], in this order. */
const axes = ["depth", "height", "width"] as const;
const axis = z.enum(axes);
const factor = z.int().min(2).max(64);

/** In a study file: how a coarse grid comes of a volume's own. */
export const coarseGridOptions = {
  /** Along which voxels are missing: one, or several. */
  axis: z.union([axis, z.array(axis).min(1).max(3)]).default("depth"),
  /** How many voxels become one: along each of these axes, or a number for each, in their order. */
  factor: z.union([factor, z.array(factor).min(1).max(3)]).default(2),
  /**
   * How they do: `average`, the mean, which is what a scanner's larger voxel sees (default), or `skip`, the first of them.
   * The paper is silent.
   */
  downsampling: z.enum(["average", "skip"]).default("average"),
};

export type CoarseGrid = {
  [Option in keyof typeof coarseGridOptions]: z.infer<(typeof coarseGridOptions)[Option]>;
};

/** How many voxels become one along depth, height and width; 1: the axis stays as it is. */
export type Factors = readonly [number, number, number];

/** The factors that options name; the paper's where they name none. */
export function factorsOf({
  axis: named = "depth",
  factor: by = 2,
}: Partial<Pick<CoarseGrid, "axis" | "factor">>): Factors {
  const chosen = [named].flat();
  const along = (one: (typeof axes)[number]): number => {
    const place = chosen.indexOf(one);
    if (place < 0) return 1;
    return Array.isArray(by) ? (by[place] ?? 1) : by;
  };
  return [along("depth"), along("height"), along("width")];
}

/** Whether half the slices are missing and nothing else, as in the paper. */
export const halvesDepth = ([depth, height, width]: Factors): boolean =>
  depth === 2 && height === 1 && width === 1;

/** Options that contradict each other, or a grid that cannot be made coarser so. */
export function coarseGridFaults(
  grid: Pick<CoarseGrid, "axis" | "factor">,
  { voxels: [height, width, depth] }: Pick<PreparedAs, "voxels">,
): TaskFault[] {
  const named = [grid.axis].flat();
  if (new Set(named).size < named.length) {
    const message = `expected each axis once but received ${named.join(", ")}`;
    return [{ of: "task", path: ["axis"], message }];
  }
  if (Array.isArray(grid.factor) && grid.factor.length !== named.length) {
    const many = `expected one number, or one for each of the axes (${named.join(", ")}), but received ${grid.factor.length}`;
    return [{ of: "task", path: ["factor"], message: many }];
  }
  const factors = factorsOf(grid);
  // By axis: its extent, and its place among the cohort's voxels, which are height, width and depth.
  const extents = [
    [depth, 2],
    [height, 0],
    [width, 1],
  ] as const;
  return axes.flatMap((name, index): TaskFault[] => {
    const by = factors[index] as number;
    const [extent, place] = extents[index] as (typeof extents)[number];
    if (by === 1) return [];
    if (2 * by > extent) {
      const least = `expected at most ${Math.floor(extent / 2)}, so that of a ${name} of ${extent} voxels two are left to interpolate between`;
      return [{ of: "task", path: ["factor"], message: `${least}, but received ${by}` }];
    }
    if (extent % by === 0) return [];
    const multiple = `expected a ${name} that is a multiple of ${by}, the factor of super-resolution, but received ${extent}`;
    return [{ of: "cohort", path: ["voxels", place], message: multiple }];
  });
}

type Triple = [number, number, number];

/** A volume [D, H, W] on the coarse grid: [D / factor, H / factor, W / factor]. */
export async function onCoarseGrid(
  volume: Tensor,
  factors: Factors,
  downsampling: CoarseGrid["downsampling"],
): Promise<Tensor> {
  const method = downsampling === "average" ? "mean" : "first";
  let coarse = await volume.poolDepth(factors[0], method);
  for (const along of [1, 2] as const) {
    const by = factors[along];
    if (by === 1) continue;
    using finer = coarse;
    const shape = finer.shape as Triple;
    // The axis becomes the third from the end, along which volumes are pooled.
    using view = Tensor.from(
      await finer.toArray(),
      [...shape, ...Array.from({ length: along }, () => 1)],
      finer.device,
    );
    using pooled = await view.poolDepth(by, method);
    shape[along] /= by;
    coarse = Tensor.from(await pooled.toArray(), shape, pooled.device);
  }
  return coarse;
}

/** A coarse volume [d, h, w] on the grid that it was made of, each voxel as often as there were. */
export async function onFineGrid(coarse: Tensor, factors: Factors): Promise<Tensor> {
  const small = coarse.shape as Triple;
  const shape = small.map((size, along) => size * (factors[along] as number)) as Triple;
  const values = await voxelsOf(coarse);
  const fine = new Float32Array(shape[0] * shape[1] * shape[2]);
  eachVoxel(shape, (voxel, k, j, i) => {
    const row = Math.floor(k / factors[0]) * small[1] + Math.floor(j / factors[1]);
    fine[voxel] = values[row * small[2] + Math.floor(i / factors[2])] as number;
  });
  return Tensor.from(fine, shape, coarse.device);
}

/** The coarse voxels of a volume that `onFineGrid` made, and their shape. */
export function coarseVoxels(
  fine: Float32Array,
  [, height, width]: Triple,
  factors: Factors,
  shape: Triple,
): Float32Array {
  const coarse = new Float32Array(shape[0] * shape[1] * shape[2]);
  eachVoxel(shape, (voxel, k, j, i) => {
    const row = k * factors[0] * height + j * factors[1];
    coarse[voxel] = fine[row * width + i * factors[2]] as number;
  });
  return coarse;
}

/** Loops over voxels here, as that takes less than the copies that a native call would need. */
function eachVoxel(
  [depth, height, width]: Triple,
  look: (voxel: number, k: number, j: number, i: number) => void,
): void {
  let voxel = 0;
  for (let k = 0; k < depth; k++)
    for (let j = 0; j < height; j++) for (let i = 0; i < width; i++) look(voxel++, k, j, i);
}
