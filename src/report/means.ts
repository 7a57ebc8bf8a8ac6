import { smallestSignificant } from "../statistics/correlation.js";

export interface MeanInterval {
  n: number;
  mean: number;
  /** The 95 % interval of the mean; null for fewer than 2 values. */
  low: number | null;
  high: number | null;
}

/** Mean and 95 % interval of independent values, by Student's t. */
export function meanInterval(values: readonly number[]): MeanInterval {
  const n = values.length;
  const mean = average(values);
  if (n < 2) return { n, mean, low: null, high: null };
  const half = (studentQuantile(n - 1) * (deviation(values) ?? 0)) / Math.sqrt(n);
  return { n, mean, low: mean - half, high: mean + half };
}

/** The t that |T| exceeds with probability 0.05, from the smallest significant r by t² = r² degrees / (1 - r²). */
export function studentQuantile(degrees: number): number {
  const r = smallestSignificant(degrees + 2);
  return r * Math.sqrt(degrees / ((1 - r) * (1 + r)));
}

/** The least of finite values; NaN for none. Unlike `Math.min(...values)` it takes any number of them. */
export function smallest(values: Iterable<number>): number {
  let least = Number.NaN;
  for (const value of values) if (Number.isFinite(value) && !(value >= least)) least = value;
  return least;
}

/** The greatest of finite values; NaN for none. */
export function largest(values: Iterable<number>): number {
  let most = Number.NaN;
  for (const value of values) if (Number.isFinite(value) && !(value <= most)) most = value;
  return most;
}

/** NaN for no values. */
export function average(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Sample standard deviation; null for fewer than 2 values. */
export function deviation(values: readonly number[]): number | null {
  if (values.length < 2) return null;
  const mean = average(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}

/** NaN for no values. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[sorted.length >> 1] ?? Number.NaN;
  const lower = sorted[(sorted.length - 1) >> 1] ?? Number.NaN;
  return (lower + upper) / 2;
}
