import { requireNumbers, requireOptions } from "../common/arguments.js";
import { expected, TransferLimitsError } from "../common/errors.js";
import { average } from "../common/numbers.js";
import { normal975 } from "./normal.js";
import {
  absoluteProduct,
  mostEnumerated,
  type PermutationOptions,
  shareReaching,
} from "./permuted-correlation.js";
import { spearmanInterval } from "./spearman-interval.js";
import { studentTwoSided } from "./student-t.js";

/** Spread relative to the mean below which a column is taken for constant: what is left is rounding. */
const roundingSpread = 1e-13;

/** A correlation with what is needed to judge it. All of `r`, `p` and `interval` are null where it is undefined. */
export interface Correlation {
  /** How many points. */
  n: number;
  /** From -1 to 1. */
  r: number | null;
  /** Two-sided p-value of "no relation". */
  p: number | null;
  /** How p was come by; null where it is undefined. */
  method: "exact permutation" | "permutation" | "student" | null;
  /** 95 % confidence interval; null for three points, which are too few for one. */
  interval: [low: number, high: number] | null;
  /** Why `r` or `interval` is null; null where neither is. */
  reason: string | null;
}

/** How a correlation's p-value is come by. */
export interface CorrelationOptions extends PermutationOptions {
  /**
   * `permutation`, the default: the share of orders of y in which |r| is as large, all of them gone through up to nine
   * points. `student`: by Student's t with n - 2 degrees of freedom, which needs normal values.
   */
  p?: "permutation" | "student";
}

/**
 * Pearson's correlation of `x` and `y`, with a two-sided p-value by permutation and a 95 % interval (Fisher's z,
 * standard error 1 / sqrt(n - 3); for normal values).
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
export function pearson(
  x: ArrayLike<number>,
  y: ArrayLike<number>,
  options: CorrelationOptions = {},
): Correlation {
  requirePairs(x, y);
  return correlate(Array.from(x), Array.from(y), options, fisherInterval);
}

/**
 * Spearman's rank correlation: Pearson's of the ranks, equal values sharing their average rank. The p-value is as
 * Pearson's; the 95 % interval is that of a normal copula, see `spearmanInterval`. Undefined and wrong input as in
 * `pearson`.
 */
export function spearman(
  x: ArrayLike<number>,
  y: ArrayLike<number>,
  options: CorrelationOptions = {},
): Correlation {
  requirePairs(x, y);
  return correlate(averageRanks(x), averageRanks(y), options, spearmanInterval);
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
 * The critical value of r at `alpha` (two-sided, Student's t) with `n` points: what lies below it in a scatter plot of
 * that many points may well be chance. It says nothing of what would be found: a true relation of that strength is
 * missed about every second time (`detectableCorrelation`).
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

function correlate(
  x: number[],
  y: number[],
  options: CorrelationOptions,
  intervalOf: (n: number, r: number) => [number, number],
): Correlation {
  requireOptions(options);
  const { p: way = "permutation" } = options;
  if (way !== "permutation" && way !== "student") throw expected('"permutation" or "student"', "p", way);
  const n = x.length;
  const unitX = centredUnit(x);
  const unitY = centredUnit(y);
  if (!unitX || !unitY) {
    const which = !unitX && !unitY ? "x and y are" : unitX ? "y is" : "x is";
    const reason = `${which} constant: a correlation with what does not vary is undefined`;
    return { n, r: null, p: null, method: null, interval: null, reason };
  }
  const product = innerProduct(unitX, unitY);
  const r = withinOne(product);
  const permuted = (order: readonly number[]) => absoluteProduct(unitX, unitY, order);
  const [p, method] =
    way === "student"
      ? [significance(r, n), way]
      : [
          shareReaching(n, [Math.abs(product)], permuted, options)[0] as number,
          n <= mostEnumerated ? ("exact permutation" as const) : way,
        ];
  if (n === 3) return { n, r, p, method, interval: null, reason: "an interval needs at least four points" };
  return { n, r, p, method, interval: intervalOf(n, r), reason: null };
}

/** Of two columns of deviations of length 1, which is r but for rounding. */
const innerProduct = (unitX: readonly number[], unitY: readonly number[]): number =>
  unitX.reduce((sum, value, i) => sum + value * (unitY[i] as number), 0);

const withinOne = (product: number): number => Math.max(-1, Math.min(1, product));

/** Pearson's r alone; null for fewer than three points, or where x or y does not vary. */
export function correlationOf(x: readonly number[], y: readonly number[]): number | null {
  if (x.length < 3) return null;
  const [unitX, unitY] = [centredUnit([...x]), centredUnit([...y])];
  return unitX && unitY ? withinOne(innerProduct(unitX, unitY)) : null;
}

/** By Fisher's z. */
function fisherInterval(n: number, r: number): [number, number] {
  const z = Math.atanh(r);
  const half = normal975 / Math.sqrt(n - 3);
  return [Math.tanh(z - half), Math.tanh(z + half)];
}

/** Two-sided p of a correlation r over n points. */
function significance(r: number, n: number): number {
  // t² = r² (n - 2) / (1 - r²); in this form |r| = 1 needs no case of its own.
  return studentTwoSided({ squared: r ** 2 * (n - 2), over: (1 - r) * (1 + r) }, n - 2);
}

/** Deviations from the mean, scaled to length 1; null where the values are constant up to rounding. */
export function centredUnit(values: number[]): number[] | null {
  const largest = Math.max(...values.map(Math.abs));
  if (largest === 0) return null;
  const scaled = values.map((value) => value / largest);
  const mean = average(scaled);
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
