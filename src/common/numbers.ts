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

export function sumOf(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

export const productOf = (values: readonly number[]): number =>
  values.reduce((total, value) => total * value, 1);

/** NaN for no values. */
export const average = (values: readonly number[]): number => sumOf(values) / values.length;

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

/** Null for no values. */
export const averageOrNull = (values: readonly number[]): number | null =>
  values.length === 0 ? null : average(values);
