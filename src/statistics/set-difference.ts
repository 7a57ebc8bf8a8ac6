import { average, deviation } from "../common/numbers.js";
import { at, fieller, scaledTo } from "./crossed.js";
import { type MeanSquare, uncertainSpread } from "./uncertain-spread.js";

/*
 * The difference of two methods in a metric that only a whole test set has, such as a specificity: no patient has a value of
 * it, so that its spread over patients is seen on resamples of them. Drawing seeds anew along with them would count what is
 * left of a single number (a seed's own luck with a patient) in both, and once more (Owen 2007, the pigeonhole bootstrap).
 * As in a crossed table, what seeds differ by and what resamples differ by are therefore added, less that rest.
 */

/** Squares of standard errors of the mean over seeds: all that seeds, all that patients, and what the rest is in each. */
export interface SetSpread {
  seeds: MeanSquare;
  patients: MeanSquare;
  rest: MeanSquare;
}

/**
 * What such a difference varies by.
 *
 * @param bySeed the difference of each seed, of all patients
 * @param drawn the same of patients that were drawn anew: an entry a draw, in it one a seed
 * @param patients of the kind that has fewer of them, at least two
 * @returns null for one seed
 */
export function setSpread(
  bySeed: readonly number[],
  drawn: readonly (readonly number[])[],
  patients: number,
): SetSpread | null {
  const seeds = bySeed.length;
  const between = deviation(bySeed);
  if (between === null) return null;
  const means = bySeed.map((_, seed) => average(drawn.map((one) => one[seed] as number)));
  const overDraws = (deviation(drawn.map(average)) ?? 0) ** 2;
  const apart = drawn.map(
    (one) => (deviation(one.map((value, seed) => value - (means[seed] as number))) ?? 0) ** 2,
  );
  return {
    seeds: { value: between ** 2 / seeds, degrees: seeds - 1 },
    patients: { value: overDraws, degrees: patients - 1 },
    rest: { value: average(apart) / seeds, degrees: (seeds - 1) * (patients - 1) },
  };
}

/** Of a mean over seeds: the square of its standard error. */
export const varianceOf = ({ seeds, patients, rest }: SetSpread): number =>
  Math.max(seeds.value + patients.value - rest.value, seeds.value, patients.value);

/** A difference with what judges it. */
export interface JudgedDifference {
  estimate: number;
  standardError: number;
  /** Two-sided p-value of "no difference"; below 0.05 exactly where the 95 % interval leaves out 0. */
  p: number;
  interval(level: number): [low: number, high: number];
}

/** Two methods in such a metric: their means over seeds, and the squares of the standard errors of each by itself. */
export interface SetPair {
  first: number;
  second: number;
  variances: { first: number; second: number };
}

/**
 * The difference with its test and interval, as those of crossed tables.
 *
 * @param pooled what seeds vary by, known from more than these
 */
export function setDifference(
  estimate: number,
  { seeds: ownSeeds, patients, rest }: SetSpread,
  pooled?: MeanSquare,
): JudgedDifference & { ratio(pair: SetPair, level: number): ReturnType<typeof fieller> } {
  const seeds = pooled ?? ownSeeds;
  const spread = uncertainSpread({ seeds, patients, rest }, 1);
  return {
    estimate,
    standardError: Math.sqrt(varianceOf({ seeds, patients, rest })),
    p: spread.beyond(Math.abs(estimate)),
    interval: (level) => {
      const half = spread.quantile(1 - level);
      return [estimate - half, estimate + half];
    },
    // Fieller's set: it leaves out 1 exactly where the interval leaves out 0.
    ratio: ({ first, second, variances }, level) => {
      const own = varianceOf({ seeds: ownSeeds, patients, rest });
      const product = (variances.first + variances.second - own) / 2;
      const allowed = scaledTo({ ...variances, product }, varianceOf({ seeds, patients, rest }));
      const errors2 = at(allowed, 1) > 0 ? spread.quantile(1 - level) ** 2 / at(allowed, 1) : 0;
      return fieller(
        { first, second },
        {
          first: errors2 * allowed.first,
          product: errors2 * allowed.product,
          second: errors2 * allowed.second,
        },
      );
    },
  };
}
