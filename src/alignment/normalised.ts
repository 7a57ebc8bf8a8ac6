import { Tensor } from "../native/tensor.js";

/** What may be done to features before they are compared. */
export const normalisations = ["none", "standardised", "unit length"] as const;
export type Normalisation = (typeof normalisations)[number];

/**
 * Two encoders' features of the same cases, both normalised: `standardised`, each feature to zero mean and unit variance
 * over the cases of both (one that never varies becomes 0); `unit length`, each case's features divided by their Euclidean
 * norm. The caller disposes of both.
 *
 * @param a [cases, features], float32
 * @param b of the same shape
 */
export async function normalisedPair(
  a: Tensor,
  b: Tensor,
  how: Normalisation,
): Promise<[a: Tensor, b: Tensor]> {
  if (how === "none") return [a.share(), b.share()];
  const [rows, features] = a.shape as [number, number];
  const both = [(await a.toArray()) as Float32Array, (await b.toArray()) as Float32Array] as const;
  const normal =
    how === "standardised"
      ? standardised(both, rows, features)
      : both.map((one) => ofUnitLength(one, features));
  return normal.map((values) => Tensor.from(values, [rows, features])) as [Tensor, Tensor];
}

function standardised(sets: readonly Float32Array[], rows: number, features: number): Float32Array[] {
  const results = sets.map((set) => new Float32Array(set.length));
  const count = rows * sets.length;
  for (let feature = 0; feature < features; feature++) {
    let sum = 0;
    for (const set of sets) for (let i = feature; i < set.length; i += features) sum += set[i] as number;
    const mean = sum / count;
    let squares = 0;
    for (const set of sets)
      for (let i = feature; i < set.length; i += features) squares += ((set[i] as number) - mean) ** 2;
    const deviation = Math.sqrt(squares / count);
    // What is left of one that never varies is the rounding of its mean.
    if (deviation <= 1e-7 * Math.abs(mean)) continue;
    for (const [k, set] of sets.entries())
      for (let i = feature; i < set.length; i += features)
        (results[k] as Float32Array)[i] = ((set[i] as number) - mean) / deviation;
  }
  return results;
}

function ofUnitLength(set: Float32Array, features: number): Float32Array {
  const result = new Float32Array(set.length);
  for (let start = 0; start < set.length; start += features) {
    const row = set.subarray(start, start + features);
    const length = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
    if (length > 0) for (let i = 0; i < features; i++) result[start + i] = (row[i] as number) / length;
  }
  return result;
}
