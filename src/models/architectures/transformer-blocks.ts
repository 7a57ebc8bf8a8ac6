import type { Size } from "./size.js";

/** Multiplications of the linear layers of each block, 4 of attention and 8 of the perceptron. */
export const linearCost = (tokens: number, width: number, depth: number): number =>
  depth * 12 * tokens * width ** 2;

/** The same, and the attention between all tokens. */
export const transformerCost = (tokens: number, width: number, depth: number): number =>
  linearCost(tokens, width, depth) + depth * 2 * tokens ** 2 * width;

/** A block keeps its norms, queries, keys and values, attention, projection, and twice the fourfold width. */
export const transformerSize = (tokens: number, width: number, depth: number): Size => ({
  parameters: depth * 12 * width ** 2,
  kept: depth * tokens * width * 16,
  recomputed: depth * tokens * width * 15,
  narrowed: depth * tokens * width * 16,
  transient: tokens * width * 16,
});
