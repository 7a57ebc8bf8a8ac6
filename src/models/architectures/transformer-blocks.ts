import type { Size } from "./size.js";
import { norm, pass, product, times, type Work } from "./work.js";

/**
 * Blocks over sequences of tokens: linear layers, attention between all tokens of a sequence, which are looked at in
 * tiles, and norms, sums and rearrangements.
 */
export function transformerWork(
  { sequences, tokens, width, heads }: { sequences: number; tokens: number; width: number; heads: number },
  depth: number,
): Work {
  const rows = sequences * tokens;
  const between = product(rows, width / heads, heads * tokens);
  return times(depth, [
    norm(rows, width),
    product(rows, width, 3 * width),
    // Scores and their use, and an exponential for each: they stay in the caches.
    { ...between, multiplyAdds: 2 * between.multiplyAdds, values: 8 * rows * width, weights: 0 },
    pass(rows * heads * tokens),
    product(rows, width, width),
    pass(9 * rows * width, 3),
    norm(rows, width),
    product(rows, width, 4 * width),
    product(rows, 4 * width, width),
    pass(3 * rows * width),
  ]);
}

/**
 * What a block keeps at a token, in multiples of its width: its input, both norms and both sums, queries, keys and values
 * and their copies head by head, attention and its copy, the projection and both scaled branches, and twice the fourfold
 * width. Measured on `provicnet-small` by `scripts/memory-estimates.mjs`.
 */
const keptAtToken = 22;

export const transformerSize = (tokens: number, width: number, depth: number): Size => ({
  parameters: depth * 12 * width ** 2,
  kept: depth * tokens * width * keptAtToken,
  recomputed: depth * tokens * width * (keptAtToken - 1),
  narrowed: depth * tokens * width * keptAtToken,
  transient: tokens * width * keptAtToken,
});
