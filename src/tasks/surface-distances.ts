import type { Tensor } from "../native/tensor.js";

/** How far the surfaces of two masks lie apart. */
export interface SurfaceDistances {
  /** The share of both surfaces that lies within the tolerance of the other (Nikolov et al. 2018). */
  surfaceDice: number;
  /** The 95th percentile of the distances of both surfaces from the other, in mm: the larger of the two. */
  hausdorff95: number;
}

/**
 * Distances between the surfaces of what was found and what is there, both with at least one voxel. A surface is made of the
 * voxels of a mask with a neighbour (of six) outside of it, or at the edge of the volume; each counts once.
 *
 * @param answer logits [D, H, W]: found above 0
 * @param truth 0 or 1, [D, H, W]
 * @param spacing in mm, [D, H, W]
 * @param tolerance in mm
 */
export async function surfaceDistances(
  answer: Tensor,
  truth: Tensor,
  spacing: readonly [number, number, number],
  tolerance: number,
): Promise<SurfaceDistances> {
  const size = truth.shape as [number, number, number];
  const found = surfaceOf((await answer.toArray()) as Float32Array, 0, size);
  const there = surfaceOf((await truth.toArray()) as Float32Array, 0.5, size);
  const toThere = distancesTo(there, size, spacing);
  const toFound = distancesTo(found, size, spacing);
  const ofFound = found.map((voxel) => toThere[voxel] as number);
  const ofThere = there.map((voxel) => toFound[voxel] as number);
  const within = (distances: readonly number[]) => distances.filter((one) => one <= tolerance).length;
  return {
    surfaceDice: (within(ofFound) + within(ofThere)) / (found.length + there.length),
    hausdorff95: Math.max(percentile95(ofFound), percentile95(ofThere)),
  };
}

/** The voxels of a mask's surface. */
function surfaceOf(values: Float32Array, above: number, size: readonly [number, number, number]): number[] {
  const [depth, height, width] = size;
  const surface: number[] = [];
  for (let k = 0, voxel = 0; k < depth; k++)
    for (let j = 0; j < height; j++)
      for (let i = 0; i < width; i++, voxel++) {
        if (!((values[voxel] as number) > above)) continue;
        const inside = (step: number, at: number, extent: number) =>
          at > 0 &&
          at < extent - 1 &&
          (values[voxel - step] as number) > above &&
          (values[voxel + step] as number) > above;
        if (!(inside(height * width, k, depth) && inside(width, j, height) && inside(1, i, width)))
          surface.push(voxel);
      }
  return surface;
}

/**
 * The Euclidean distance in mm of every voxel from the nearest of some: exact, axis by axis (Felzenszwalb and Huttenlocher
 * 2012), in a time that grows with the voxels alone.
 */
function distancesTo(
  voxels: readonly number[],
  size: readonly [number, number, number],
  spacing: readonly [number, number, number],
): Float64Array {
  const squares = new Float64Array(size[0] * size[1] * size[2]).fill(Number.POSITIVE_INFINITY);
  for (const voxel of voxels) squares[voxel] = 0;
  const steps = [size[1] * size[2], size[2], 1];
  for (const axis of [2, 1, 0]) {
    const [extent, step, unit] = [size[axis] as number, steps[axis] as number, spacing[axis] as number];
    const line = new Float64Array(extent);
    for (let start = 0; start < squares.length; start++) {
      if (Math.floor(start / step) % extent !== 0) continue;
      for (let at = 0; at < extent; at++) line[at] = squares[start + at * step] as number;
      lowestParabolas(line, unit).forEach((value, at) => {
        squares[start + at * step] = value;
      });
    }
  }
  return squares.map(Math.sqrt);
}

/** At each place of a line, the smallest of the parabolas (unit (x - p))² + values[p]. */
function lowestParabolas(values: Float64Array, unit: number): Float64Array {
  const places: number[] = [];
  const from: number[] = [];
  for (let place = 0; place < values.length; place++) {
    const height = values[place] as number;
    if (height === Number.POSITIVE_INFINITY) continue;
    let crossing = Number.NEGATIVE_INFINITY;
    while (places.length > 0) {
      const last = places.at(-1) as number;
      const gap = (height - (values[last] as number)) / unit ** 2 + place ** 2 - last ** 2;
      crossing = gap / (2 * (place - last));
      if (crossing > (from.at(-1) as number)) break;
      places.pop();
      from.pop();
      crossing = Number.NEGATIVE_INFINITY;
    }
    places.push(place);
    from.push(crossing);
  }
  if (places.length === 0) return values.slice();
  let current = 0;
  return values.map((_, at) => {
    while (current + 1 < places.length && (from[current + 1] as number) <= at) current++;
    const place = places[current] as number;
    return (unit * (at - place)) ** 2 + (values[place] as number);
  });
}

/** Linear between two of them, as numpy's. */
function percentile95(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = 0.95 * (sorted.length - 1);
  const below = Math.floor(at);
  const low = sorted[below] as number;
  const high = sorted[Math.min(below + 1, sorted.length - 1)] as number;
  return low + (at - below) * (high - low);
}
