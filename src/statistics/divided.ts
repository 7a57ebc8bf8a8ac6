import { gammaln } from "simple-statistics";
import { requireFinite, requireList } from "../common/arguments.js";
import { expected } from "../common/errors.js";
import { average } from "../common/numbers.js";
import { type Form, fieller } from "./crossed.js";
import { normal80 } from "./normal.js";
import type { Spreads } from "./planning.js";
import { studentQuantile, studentTwoSided } from "./student-t.js";

/*
 * Two methods, trained and tested anew on each of S divisions of the same patients into training and test. Test sets
 * overlap, and so do training sets: the S differences are not independent, and their variance over S is too small a one for
 * their mean. The corrected resampled t test (Nadeau & Bengio 2003) takes it times 1/S + tested / others instead. Of what
 * patients differ by alone, two test sets of n out of N patients share n / N, and (n / N) / (1 - n / N) is just that term; where
 * trainings scatter as well, which more divisions lessen, it is more than enough.
 */

/** A mean difference over divisions of the patients, with what it may be off by. */
export interface DividedDifference {
  /** Of first - second. */
  estimate: number;
  standardError: number;
  /** Two-sided p-value of "no difference". */
  p: number;
  /** The difference that is found with a power of 80 %, at 95 %. */
  detectable: number;
  /** The interval that covers the difference with this probability. */
  interval(level: number): [low: number, high: number];
  /** Fieller's set of the ratio first / second; null where it is unbounded. */
  ratio(level: number): { estimate: number; low: number; high: number } | null;
}

/**
 * The mean difference of two methods that were trained and tested on the same divisions of the patients.
 *
 * @param first its metric, one number a division
 * @param second likewise
 * @param patients how many are divided, and how many of them are tested in each division
 * @returns null for a single division
 * @throws `BAD_INPUT` where the lists differ in length or hold a number that is not finite, or nobody is left to train on
 */
export function dividedDifference(
  first: readonly number[],
  second: readonly number[],
  { patients, tested }: { patients: number; tested: number },
): DividedDifference | null {
  for (const [name, values] of Object.entries({ first, second })) {
    requireList(values, name, "an array of numbers");
    if (values.length !== first.length || values.length === 0)
      throw expected("a number of both for every division", name, values);
    for (const [index, value] of values.entries()) requireFinite(value, `${name}[${index}]`);
  }
  if (!(tested > 0 && tested < patients))
    throw expected("fewer tested patients than there are, and at least one", "tested", tested);
  const divisions = first.length;
  if (divisions < 2) return null;
  const degrees = divisions - 1;
  const scale = 1 / divisions + tested / (patients - tested);
  const [a, b] = [average(first), average(second)];
  const spread = (x: readonly number[], meanX: number, y: readonly number[], meanY: number): number =>
    (scale * x.reduce((sum, value, s) => sum + (value - meanX) * ((y[s] as number) - meanY), 0)) / degrees;
  const form: Form = {
    first: spread(first, a, first, a),
    product: spread(first, a, second, b),
    second: spread(second, b, second, b),
  };
  const estimate = a - b;
  const variance = Math.max(0, form.first - 2 * form.product + form.second);
  const standardError = Math.sqrt(variance);
  return {
    estimate,
    standardError,
    p: studentTwoSided({ squared: estimate ** 2, over: variance }, degrees),
    detectable: (studentQuantile(0.05, degrees) + normal80) * standardError,
    interval: (level) => {
      const half = studentQuantile(1 - level, degrees) * standardError;
      return [estimate - half, estimate + half];
    },
    ratio: (level) => {
      const squared = studentQuantile(1 - level, degrees) ** 2;
      const allowance = (part: keyof Form) => squared * form[part];
      return fieller(
        { first: a, second: b },
        { first: allowance("first"), product: allowance("product"), second: allowance("second") },
      );
    },
  };
}

/**
 * Half the width that the 95 % interval of a mean difference over divisions is expected to have, and the difference that is
 * found with a power of 80 %, from how the difference scatters.
 */
export function expectedOfDivisions(
  { seeds: tau, patients: gamma, rest: sigma }: Spreads,
  divisions: number,
  { patients, tested }: { patients: number; tested: number },
): { halfWidth: number; detectable: number } {
  const degrees = divisions - 1;
  // Of the patients' spread, divisions show what their test sets do not share.
  const variance = tau ** 2 + sigma ** 2 / tested + (gamma ** 2 / tested) * (1 - tested / patients);
  const scale = 1 / divisions + tested / (patients - tested);
  // An estimated deviation lies below the true one, on average.
  const shrink = Math.sqrt(2 / degrees) * Math.exp(gammaln(divisions / 2) - gammaln(degrees / 2));
  const error = shrink * Math.sqrt(variance * scale);
  const t = studentQuantile(0.05, degrees);
  return { halfWidth: t * error, detectable: (t + normal80) * error };
}
