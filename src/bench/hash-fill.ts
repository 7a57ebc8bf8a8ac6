import { productOf } from "../common/numbers.js";
/**
 * The hash that fills inputs and weights on both sides, exact in every language (bench/peers/hash_fill.py): `u(name, i)`
 * lies in [-1, 1).
 */
export function hashFill(name: string, count: number): Float64Array {
  let seed = 2166136261;
  for (const byte of new TextEncoder().encode(name)) seed = Math.imul(seed ^ byte, 16777619);
  const values = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    let h = (Math.imul(i, 2654435761) + seed) | 0;
    h = Math.imul(h ^ (h >>> 15), 2246822519);
    h = Math.imul(h ^ (h >>> 13), 3266489917);
    h ^= h >>> 16;
    values[i] = ((h >>> 0) / 2 ** 32) * 2 - 1;
  }
  return values;
}

/** An input: scale * u, float32, row-major. */
export function filled(name: string, shape: readonly number[], scale = 1): Float32Array {
  const values = hashFill(name, productOf(shape));
  return new Float32Array(values.map((value) => scale * Math.fround(value)));
}

/** The value of a parameter of that name: its size follows from its kind, so that activations stay near 1. */
export function parameter(name: string, shape: readonly number[]): Float32Array {
  const leaf = name.slice(name.lastIndexOf(".") + 1);
  const fan = Math.sqrt(3 / productOf(shape.slice(1)));
  const value = (u: number): number => {
    if (leaf === "gamma" || leaf === "beta") return name.includes("ls") ? 0.5 + 0.25 * u : 0.1 * u;
    if (leaf === "weight") return shape.length === 1 ? 1 + 0.1 * u : u * fan;
    return 0.02 * u;
  };
  return new Float32Array(hashFill(name, productOf(shape)).map(value));
}
