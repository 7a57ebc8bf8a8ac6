import { requireOptions, requireWhole } from "../common/arguments.js";
import { expected } from "../common/errors.js";
import { average } from "../common/numbers.js";
import type { WouldSettle } from "../results/claims.js";
import { chiSquaredQuantile } from "./chi-squared.js";
import { normal80 } from "./normal.js";
import { coarse, uncertainSpread } from "./uncertain-spread.js";

/** Standard deviations of a difference: from seed to seed, from patient to patient, and of what is left of one number. */
export interface Spreads {
  seeds: number;
  patients: number;
  rest: number;
}

/** Up to so many seeds their spread is taken from all models that were compared on a task together. */
export const fewSeeds = 3;

/**
 * Half the width that the interval of a mean difference is expected to have, with so many seeds and patients.
 *
 * @param alpha of a 95 % interval 0.05, the default
 * @param models that are compared with the same reference on the task: up to three seeds their spread is that of all models
 * @throws `BAD_INPUT` for fewer than two seeds or patients, or spreads that are no numbers of at least 0
 */
export function expectedHalfWidth(
  spreads: Spreads,
  seeds: number,
  patients: number,
  alpha = 0.05,
  models = 1,
): number {
  if (typeof alpha !== "number" || !(alpha > 0 && alpha < 1))
    throw expected("a number between 0 and 1", "alpha", alpha);
  requireDesign(spreads, seeds, patients, models);
  // What a study sees of the spread between seeds is itself chance, and few seeds mostly see less than there is.
  const seen = seenShares(seedDegrees(seeds, models));
  const widths = seen.map((share) => spreadOf(spreads, seeds, patients, models, share).quantile(alpha));
  return average(widths);
}

/**
 * The difference that so many seeds and patients find with a power of 80 %, at 95 %.
 *
 * @param models as `expectedHalfWidth`
 * @throws `BAD_INPUT` as `expectedHalfWidth`
 */
export function detectableDifference(spreads: Spreads, seeds: number, patients: number, models = 1): number {
  return (
    expectedHalfWidth(spreads, seeds, patients, 0.05, models) + normal80 * errorOf(spreads, seeds, patients)
  );
}

/** The standard error of the mean difference. */
const errorOf = (
  { seeds: tau, patients: gamma, rest: sigma }: Spreads,
  seeds: number,
  patients: number,
): number => Math.sqrt(tau ** 2 / seeds + gamma ** 2 / patients + sigma ** 2 / (seeds * patients));

/** Of the mean square between seeds, pooled over models where seeds are few. */
const seedDegrees = (seeds: number, models: number): number => (seeds - 1) * (seeds <= fewSeeds ? models : 1);

const knownShares = new Map<number, readonly number[]>();
const parts = 8;

/** Values that a mean square takes, each as likely as the others, over the one that it has on average. */
function seenShares(degrees: number): readonly number[] {
  const known = knownShares.get(degrees);
  if (known) return known;
  const made = Array.from(
    { length: parts },
    (_, part) => chiSquaredQuantile((part + 0.5) / parts, degrees) / degrees,
  );
  knownShares.set(degrees, made);
  return made;
}

function requireDesign(spreads: Spreads, seeds: number, patients: number, models: number): void {
  requireOptions(spreads, "spreads");
  for (const [name, value] of Object.entries({ seeds, patients })) requireWhole(value, name, 2);
  requireWhole(models, "models", 1);
  const { seeds: tau, patients: gamma, rest: sigma } = spreads;
  for (const [name, value] of Object.entries({ seeds: tau, patients: gamma, rest: sigma }))
    requireSpread(value, `spreads.${name}`);
}

/** What a study sees: the mean squares that such spreads have on average, that between seeds times `seen`. */
function spreadOf(spreads: Spreads, seeds: number, patients: number, models: number, seen = 1) {
  const { seeds: tau, patients: gamma, rest: sigma } = spreads;
  return uncertainSpread(
    {
      seeds: { value: seen * (sigma ** 2 + patients * tau ** 2), degrees: seedDegrees(seeds, models) },
      patients: { value: sigma ** 2 + seeds * gamma ** 2, degrees: patients - 1 },
      rest: { value: sigma ** 2, degrees: (seeds - 1) * (patients - 1) },
    },
    seeds * patients,
    coarse,
  );
}

function requireSpread(value: unknown, name: string): void {
  if (typeof value !== "number" || !(value >= 0 && Number.isFinite(value)))
    throw expected("a number of at least 0", name, value);
}

/** More seeds than this nobody trains, more patients nobody has. */
const most = { seeds: 50, patients: 5000 } as const;

/**
 * How many seeds with the patients there are, or patients with the seeds there are, would settle a claim, if the difference
 * truly is the one that was seen: find it with a power of 80 %, or show that it lies within the margin.
 *
 * @param design.alpha that the difference is to be found at: less than 0.05 where it is one of many claims
 */
export function whatSettles(
  spreads: Spreads,
  { estimate, margin }: { estimate: number; margin: number },
  {
    seeds,
    patients,
    models = 1,
    alpha = 0.05,
  }: { seeds: number; patients: number; models?: number; alpha?: number },
): WouldSettle {
  requireDesign(spreads, seeds, patients, models);
  const size = Math.abs(estimate);
  const settles = (s: number, n: number): boolean => {
    // Whether an interval is narrow enough is one look at how far it reaches; its width would take a search.
    const spread = spreadOf(spreads, s, n, models);
    const within = (distance: number, chance: number) => distance > 0 && spread.beyond(distance) <= chance;
    return within(size - normal80 * errorOf(spreads, s, n), alpha) || within(margin - size, 0.1);
  };
  return {
    seeds: smallest(seeds, most.seeds, (s) => settles(s, patients)),
    patients: smallest(patients, most.patients, (n) => settles(seeds, n)),
  };
}

/** The smallest whole number from `from` to `to` that is enough, by bisection: more is never less. */
function smallest(from: number, to: number, enough: (value: number) => boolean): number | null {
  if (from > to || !enough(to)) return null;
  let [low, high] = [from - 1, to];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (middle >= 2 && enough(middle)) high = middle;
    else low = middle;
  }
  return high;
}
