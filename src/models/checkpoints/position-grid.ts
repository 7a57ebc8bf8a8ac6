import { sumOf } from "../../common/numbers.js";
/**
 * The position embedding of a vision transformer on a grid of patches of another size: bicubic with antialiasing and
 * without an offset, as DINOv2 with registers resizes its own at other input sizes, timm any, and as our network does, whose
 * architecture is that of DINOv2 with registers. (DINOv2 without registers neither antialiases nor does without an offset of
 * 0.1; its files get the convention of the network that they are loaded into.)
 */
export interface Grids {
  /** Edge of the grid that a file's embedding is for, and of ours. */
  from: number;
  to: number;
}

/** The grids of two embeddings [1, 1 + patches, features], the first of whose tokens is the class's; null where they are none. */
export function gridsOf(stored: readonly number[], ours: readonly number[]): Grids | null {
  const [one, tokens, features] = stored;
  if (stored.length !== 3 || ours.length !== 3 || one !== 1 || ours[0] !== 1 || features !== ours[2])
    return null;
  const [from, to] = [tokens as number, ours[1] as number].map((count) => Math.sqrt(count - 1)) as [
    number,
    number,
  ];
  return from >= 1 && Number.isInteger(from) && Number.isInteger(to) ? { from, to } : null;
}

/** Keys' cubic convolution with a = -0.5, as PyTorch and Pillow take it where they antialias. */
function cubic(distance: number): number {
  const [a, x] = [-0.5, Math.abs(distance)];
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/** For each position of ours the first one that it is made of, and the weights of that and the next ones; they add up to 1. */
function weightsOf({ from, to }: Grids): { first: number; weights: number[] }[] {
  const scale = from / to;
  const wide = Math.max(scale, 1);
  return Array.from({ length: to }, (_, index) => {
    const centre = scale * (index + 0.5);
    const first = Math.max(0, Math.trunc(centre - 2 * wide + 0.5));
    const end = Math.min(from, Math.trunc(centre + 2 * wide + 0.5));
    const weights = Array.from({ length: end - first }, (_, at) => cubic((first + at - centre + 0.5) / wide));
    const sum = sumOf(weights);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

/** Resizes an embedding, row-major. The class's token stays as it is. */
export function resizedPositions(embedding: Float32Array, grids: Grids, features: number): Float32Array {
  const { from, to } = grids;
  const weights = weightsOf(grids);
  const rows = new Float64Array(from * to * features);
  const resized = new Float32Array((1 + to * to) * features);
  resized.set(embedding.subarray(0, features));
  for (let row = 0; row < from; row++) {
    weights.forEach((taken, column) => {
      taken.weights.forEach((weight, at) => {
        const source = (1 + row * from + taken.first + at) * features;
        const target = (row * to + column) * features;
        for (let feature = 0; feature < features; feature++)
          rows[target + feature] =
            (rows[target + feature] as number) + weight * (embedding[source + feature] as number);
      });
    });
  }
  const sums = new Float64Array(features);
  weights.forEach((taken, row) => {
    for (let column = 0; column < to; column++) {
      sums.fill(0);
      taken.weights.forEach((weight, at) => {
        const source = ((taken.first + at) * to + column) * features;
        for (let feature = 0; feature < features; feature++)
          sums[feature] = (sums[feature] as number) + weight * (rows[source + feature] as number);
      });
      resized.set(sums, (1 + row * to + column) * features);
    }
  });
  return resized;
}
