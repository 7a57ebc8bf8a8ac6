import type { Size } from "./size.js";

/** Multiplications of the linear layers of each block, 4 of attention and 8 of the perceptron. */
export const linearCost = (tokens: number, width: number, depth: number): number =>
  depth * 12 * tokens * width ** 2;

/** The same, and the attention between all tokens. */
export const transformerCost = (tokens: number, width: number, depth: number): number =>
  linearCost(tokens, width, depth) + depth * 2 * tokens ** 2 * width;

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
