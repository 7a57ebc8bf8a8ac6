import { chiSquaredQuantile } from "./chi-squared.js";
import { roughNormalTwoSided } from "./normal.js";

/**
 * How a mean scatters whose variance is itself only estimated, from few seeds above all: normal with each of many standard
 * errors, weighted by how well each fits the mean squares that were seen (generalised inference; Weerahandi 1995). With two
 * or three seeds, where Satterthwaite's t is sure of itself too often, this is not.
 */
export interface UncertainSpread {
  /** The probability that the mean lies farther from its expectation than `distance`, on either side. */
  beyond(distance: number): number;
  /** The distance that is exceeded with this probability. */
  quantile(probability: number): number;
}

/** A mean square with its degrees of freedom. */
export interface MeanSquare {
  value: number;
  degrees: number;
}

/** How finely the possible values of each true mean square are divided; of the seeds, their tail above all. */
const fine = { seeds: 40, patients: 8, rest: 3 };
/** For a forecast, which is rough in any case. */
export const coarse = { seeds: 20, patients: 4, rest: 1 };

/** The spread of a mean over crossed seeds and patients. */
export function uncertainSpread(
  of: { seeds: MeanSquare; patients: MeanSquare; rest: MeanSquare },
  cells: number,
  divisions = fine,
): UncertainSpread {
  const errors: { weight: number; error: number }[] = [];
  for (const rest of possible(of.rest, divisions.rest, 1)) {
    for (const patients of possible(of.patients, divisions.patients, 1)) {
      for (const seeds of possible(of.seeds, divisions.seeds, 3)) {
        const variance =
          Math.max(seeds.value - rest.value, 0) + Math.max(patients.value - rest.value, 0) + rest.value;
        errors.push({
          weight: seeds.weight * patients.weight * rest.weight,
          error: Math.sqrt(variance / cells),
        });
      }
    }
  }
  const largest = errors.reduce((most, { error }) => Math.max(most, error), 0);
  const beyond = (distance: number): number => {
    if (largest === 0) return distance === 0 ? 1 : 0;
    let sum = 0;
    for (const { weight, error } of errors) {
      if (error > 0) sum += weight * roughNormalTwoSided(distance / error);
      else if (distance === 0) sum += weight;
    }
    return sum;
  };
  // A search begins at what was seen: the largest error is that of a variance hardly any study has.
  const seen = 2 * Math.sqrt(Math.max(of.seeds.value, of.patients.value, of.rest.value) / cells);
  const known = new Map<number, number>();
  const quantile = (probability: number): number => {
    const found = known.get(probability) ?? (largest === 0 ? 0 : solve(beyond, probability, seen));
    known.set(probability, found);
    return found;
  };
  return { beyond, quantile };
}

/** Values that a true mean square may have, given the one that was seen: that one times its degrees over chi-squared. */
function possible({ value, degrees }: MeanSquare, count: number, power: number) {
  return scales(degrees, count, power).map(({ weight, scale }) => ({ weight, value: value * scale }));
}

const knownScales = new Map<string, readonly { weight: number; scale: number }[]>();

/** Degrees over chi-squared in the middle of each of `count` parts of the probability, finer near 0 for a higher power. */
function scales(degrees: number, count: number, power: number): readonly { weight: number; scale: number }[] {
  const key = `${degrees} ${count} ${power}`;
  const known = knownScales.get(key);
  if (known) return known;
  const made = Array.from({ length: count }, (_, index) => {
    const [from, to] = [(index / count) ** power, ((index + 1) / count) ** power];
    return { weight: to - from, scale: degrees / chiSquaredQuantile((from + to) / 2, degrees) };
  });
  knownScales.set(key, made);
  return made;
}

/** Where a function that falls from 1 to 0 takes a value: by the Illinois method, below an upper bound that is doubled. */
function solve(falling: (x: number) => number, value: number, start: number): number {
  let high = start;
  while (falling(high) > value) high *= 2;
  let [low, atLow, atHigh] = [0, 1 - value, falling(high) - value];
  let lastMoved: "low" | "high" | null = null;
  for (let step = 0; step < 200 && high - low > 1e-12 * high; step++) {
    const middle = (low * atHigh - high * atLow) / (atHigh - atLow);
    const at = falling(middle) - value;
    if (at === 0) return middle;
    // An end that stays twice in a row counts half: otherwise it would stay for good.
    if (at > 0) {
      [low, atLow] = [middle, at];
      if (lastMoved === "low") atHigh /= 2;
      lastMoved = "low";
    } else {
      [high, atHigh] = [middle, at];
      if (lastMoved === "high") atLow /= 2;
      lastMoved = "high";
    }
  }
  return high;
}
