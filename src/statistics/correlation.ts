import { requireNumbers } from "../common/arguments.js";
import { expected, TransferLimitsError } from "../common/errors.js";
import { studentTwoSided } from "./student-t.js";

/** The 97.5 % quantile of the standard normal distribution. */
const normal975 = 1.959963984540054;
/** Spread relative to the mean below which a column is taken for constant: what is left is rounding. */
const roundingSpread = 1e-13;

/** A correlation with what is needed to judge it. All of `r`, `p` and `interval` are null where it is undefined. */
export interface Correlation {
  /** How many points. */
  n: number;
  /** From -1 to 1. */
  r: number | null;
  /** Two-sided p-value of "no correlation", by Student's t with n - 2 degrees of freedom. */
  p: number | null;
  /** 95 % confidence interval by Fisher's z; null for three points, where it has no width to compute. */
  interval: [low: number, high: number] | null;
  /** Why `r` or `interval` is null; null where neither is. */
  reason: string | null;
}

/**
 * Pearson's correlation of `x` and `y`, with a two-sided p-value (Student's t) and a 95 % interval (Fisher's z,
 * standard error 1 / sqrt(n - 3)).
 *
 * Where x or y is constant the correlation is undefined: `r`, `p` and `interval` are null and `reason` says why.
 *
 * @throws `BAD_INPUT` for fewer than three points, lengths that differ, or a value that is not finite
 *
 * @example
 * import { statistics } from "transfer-limits";
 *
 * const { r, p, interval } = statistics.pearson([0.1, 0.2, 0.4, 0.5], [9, 8, 3, 2]);
 * console.log(r, p, interval);
 */
export function pearson(x: ArrayLike<number>, y: ArrayLike<number>): Correlation {
  requirePairs(x, y);
  return correlate(Array.from(x), Array.from(y), (n) => 1 / Math.sqrt(n - 3));
}

/**
 * Spearman's rank correlation: Pearson's of the ranks, equal values sharing their average rank. The p-value is by
 * Student's t, the usual approximation, rough below about ten points; the 95 % interval by Fisher's z with the
 * standard error of Bonett & Wright (2000), sqrt((1 + r²/2) / (n - 3)). Undefined and wrong input as in `pearson`.
 */
export function spearman(x: ArrayLike<number>, y: ArrayLike<number>): Correlation {
  requirePairs(x, y);
  return correlate(averageRanks(x), averageRanks(y), (n, r) => Math.sqrt((1 + r ** 2 / 2) / (n - 3)));
}

/** Ranks from 1, equal values sharing the average of their ranks. @throws `BAD_INPUT` for a value that is NaN or no number */
export function averageRanks(values: ArrayLike<number>): number[] {
  requireNumbers(values, "values");
  const order = Array.from(values, (_, index) => index).sort(
    (i, j) => (values[i] as number) - (values[j] as number),
  );
  const ranks = new Array<number>(order.length);
  for (let first = 0; first < order.length; ) {
    let end = first + 1;
    while (end < order.length && values[order[end] as number] === values[order[first] as number]) end++;
    for (let i = first; i < end; i++) ranks[order[i] as number] = (first + 1 + end) / 2;
    first = end;
  }
  return ranks;
}

/**
 * The smallest |r| that is significant at `alpha` (two-sided) with `n` points: what lies below it in a scatter plot
 * of that many points may well be chance.
 *
 * @throws `BAD_INPUT` for fewer than three points or an alpha outside (0, 1)
 */
export function smallestSignificant(n: number, alpha = 0.05): number {
  if (!(Number.isSafeInteger(n) && n >= 3)) throw expected("a whole number of at least 3 points", "n", n);
  if (typeof alpha !== "number" || !(alpha > 0 && alpha < 1))
    throw expected("a number between 0 and 1", "alpha", alpha);
  let low = 0;
  let high = 1;
  // Bisection down to neighbouring numbers: p falls from 1 at r = 0 to 0 at r = 1.
  for (let middle = 0.5; middle > low && middle < high; middle = (low + high) / 2) {
    if (significance(middle, n) < alpha) high = middle;
    else low = middle;
  }
  return high;
}

function correlate(x: number[], y: number[], standardError: (n: number, r: number) => number): Correlation {
  const n = x.length;
  const unitX = centredUnit(x);
  const unitY = centredUnit(y);
  if (!unitX || !unitY) {
    const which = !unitX && !unitY ? "x and y are" : unitX ? "y is" : "x is";
    const reason = `${which} constant: a correlation with what does not vary is undefined`;
    return { n, r: null, p: null, interval: null, reason };
  }
  const product = unitX.reduce((sum, value, i) => sum + value * (unitY[i] as number), 0);
  const r = Math.max(-1, Math.min(1, product));
  const p = significance(r, n);
  if (n === 3)
    return { n, r, p, interval: null, reason: "an interval by Fisher's z needs at least four points" };
  const z = Math.atanh(r);
  const half = normal975 * standardError(n, r);
  return { n, r, p, interval: [Math.tanh(z - half), Math.tanh(z + half)], reason: null };
}

/** Two-sided p of a correlation r over n points. */
function significance(r: number, n: number): number {
  // t² = r² (n - 2) / (1 - r²); in this form |r| = 1 needs no case of its own.
  return studentTwoSided({ squared: r ** 2 * (n - 2), over: (1 - r) * (1 + r) }, n - 2);
}

/** Deviations from the mean, scaled to length 1; null where the values are constant up to rounding. */
function centredUnit(values: number[]): number[] | null {
  const largest = Math.max(...values.map(Math.abs));
  if (largest === 0) return null;
  const scaled = values.map((value) => value / largest);
  const mean = scaled.reduce((sum, value) => sum + value, 0) / scaled.length;
  const deviations = scaled.map((value) => value - mean);
  const length = Math.sqrt(deviations.reduce((sum, value) => sum + value ** 2, 0));
  if (length <= roundingSpread * Math.abs(mean)) return null;
  return deviations.map((value) => value / length);
}

function requirePairs(x: ArrayLike<number>, y: ArrayLike<number>): void {
  requireNumbers(x, "x");
  requireNumbers(y, "y");
  if (x.length !== y.length) {
    const message = `Expected x and y of one length but received ${x.length} and ${y.length} values`;
    throw new TransferLimitsError("BAD_INPUT", message);
  }
  if (x.length < 3) throw expected("at least 3 points", "a correlation", x.length);
  for (const [name, values] of [["x", x] as const, ["y", y] as const]) {
    for (let i = 0; i < values.length; i++) {
      if (!Number.isFinite(values[i])) throw expected("a finite number", `${name}[${i}]`, values[i]);
    }
  }
}
