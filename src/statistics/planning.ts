import { requireOptions, requireWhole } from "../common/arguments.js";
import { expected } from "../common/errors.js";
import { normal80 } from "./normal.js";
import { coarse, uncertainSpread } from "./uncertain-spread.js";

/** Standard deviations of a difference: from seed to seed, from patient to patient, and of what is left of one number. */
export interface Spreads {
  seeds: number;
  patients: number;
  rest: number;
}

/**
 * Half the width that the interval of a mean difference is expected to have, with so many seeds and patients.
 *
 * @param alpha of a 95 % interval 0.05, the default
 * @throws `BAD_INPUT` for fewer than two seeds or patients, or spreads that are no numbers of at least 0
 */
export function expectedHalfWidth(spreads: Spreads, seeds: number, patients: number, alpha = 0.05): number {
  if (typeof alpha !== "number" || !(alpha > 0 && alpha < 1))
    throw expected("a number between 0 and 1", "alpha", alpha);
  return spreadOf(spreads, seeds, patients).quantile(alpha);
}

/**
 * The difference that so many seeds and patients find with a power of 80 %, at 95 %.
 *
 * @throws `BAD_INPUT` as `expectedHalfWidth`
 */
export function detectableDifference(spreads: Spreads, seeds: number, patients: number): number {
  return expectedHalfWidth(spreads, seeds, patients) + normal80 * errorOf(spreads, seeds, patients);
}

/** The standard error of the mean difference. */
const errorOf = (
  { seeds: tau, patients: gamma, rest: sigma }: Spreads,
  seeds: number,
  patients: number,
): number => Math.sqrt(tau ** 2 / seeds + gamma ** 2 / patients + sigma ** 2 / (seeds * patients));

function spreadOf(spreads: Spreads, seeds: number, patients: number) {
  requireOptions(spreads, "spreads");
  for (const [name, value] of Object.entries({ seeds, patients })) requireWhole(value, name, 2);
  const { seeds: tau, patients: gamma, rest: sigma } = spreads;
  for (const [name, value] of Object.entries({ seeds: tau, patients: gamma, rest: sigma }))
    requireSpread(value, `spreads.${name}`);
  // The mean squares that such spreads have on average.
  return uncertainSpread(
    {
      seeds: { value: sigma ** 2 + patients * tau ** 2, degrees: seeds - 1 },
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

/** So many seeds, or so many patients, would settle a claim; null where no number does by itself. */
export interface WouldSettle {
  seeds: number | null;
  patients: number | null;
}

/**
 * How many seeds with the patients there are, or patients with the seeds there are, would settle a claim, if the difference
 * truly is the one that was seen: find it with a power of 80 %, or show that it lies within the margin.
 */
export function whatSettles(
  spreads: Spreads,
  { estimate, margin }: { estimate: number; margin: number },
  { seeds, patients }: { seeds: number; patients: number },
): WouldSettle {
  const size = Math.abs(estimate);
  const settles = (s: number, n: number): boolean => {
    // Whether an interval is narrow enough is one look at how far it reaches; its width would take a search.
    const spread = spreadOf(spreads, s, n);
    const within = (distance: number, alpha: number) => distance > 0 && spread.beyond(distance) <= alpha;
    return within(size - normal80 * errorOf(spreads, s, n), 0.05) || within(margin - size, 0.1);
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
