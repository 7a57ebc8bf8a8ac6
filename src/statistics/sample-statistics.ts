import { mean as libraryMean, sampleStandardDeviation } from "simple-statistics";
import { requireCallback, requireOptions, requireWhole } from "../common/arguments.js";
import { expected } from "../common/errors.js";
import { randomStream } from "../common/random.js";

/** Arithmetic mean. @throws `BAD_INPUT` for no values, or one that is not finite. */
export function mean(values: readonly number[]): number {
  requireValues(values);
  return libraryMean([...values]);
}

/** Sample standard deviation (n - 1); 0 for one value. @throws `BAD_INPUT` as `mean`. */
export function standardDeviation(values: readonly number[]): number {
  requireValues(values);
  return values.length === 1 ? 0 : sampleStandardDeviation([...values]);
}

/**
 * The value below which the fraction `probability` of `values` lies, linear between neighbours (type 7 of Hyndman &
 * Fan 1996, as in R and NumPy). @throws `BAD_INPUT` as `mean`, or for a probability outside [0, 1].
 */
export function quantile(values: readonly number[], probability: number): number {
  requireValues(values);
  if (typeof probability !== "number" || !(probability >= 0 && probability <= 1))
    throw expected("a number in [0, 1]", "probability", probability);
  const sorted = [...values].sort((a, b) => a - b);
  const position = probability * (sorted.length - 1);
  const below = Math.floor(position);
  const low = sorted[below] as number;
  const high = sorted[Math.min(below + 1, sorted.length - 1)] as number;
  return low + (position - below) * (high - low);
}

/**
 * A percentile bootstrap interval (Efron 1979) of `options.statistic` of `values`, by default their mean: the
 * statistic of many resamples drawn with replacement, cut off at both ends. The same seed gives the same interval.
 *
 * @param options.seed of the resamples, a whole number
 * @param options.level coverage; default 0.95
 * @param options.resamples default 10,000; at most 10,000,000
 * @param options.statistic of a resample; default its mean
 * @throws `BAD_INPUT` as `mean`, or for a level outside (0, 1)
 */
export function bootstrapInterval(
  values: readonly number[],
  options: {
    seed: number;
    level?: number;
    resamples?: number;
    statistic?: (resample: readonly number[]) => number;
  },
): [low: number, high: number] {
  requireOptions(options);
  const {
    seed,
    level = 0.95,
    resamples = 10_000,
    statistic = libraryMean as (v: readonly number[]) => number,
  } = options;
  requireValues(values);
  requireWhole(seed, "seed");
  requireCallback(options.statistic, "statistic");
  if (typeof level !== "number" || !(level > 0 && level < 1))
    throw expected("a number between 0 and 1", "level", level);
  if (!(Number.isSafeInteger(resamples) && resamples >= 1 && resamples <= mostResamples)) {
    throw expected(`a whole number from 1 to ${mostResamples}`, "resamples", resamples);
  }
  const random = randomStream(seed, "bootstrap");
  const statistics = Array.from({ length: resamples }, () =>
    statistic(values.map(() => values[random.integer(0, values.length - 1)] as number)),
  );
  return [quantile(statistics, (1 - level) / 2), quantile(statistics, (1 + level) / 2)];
}

/** More say nothing more about an interval, and would only take memory. */
const mostResamples = 10_000_000;

function requireValues(values: readonly number[], name = "values"): void {
  if (!Array.isArray(values) || values.length === 0) throw expected("at least one number", name, values);
  const wrong = values.findIndex((value) => !Number.isFinite(value));
  if (wrong >= 0) throw expected("a finite number", `${name}[${wrong}]`, values[wrong]);
}
