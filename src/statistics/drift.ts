import { groupBy } from "../common/group-by.js";
import { average, largest, smallest } from "../common/numbers.js";
import type { Distance, DriftBetweenSeeds, KernelDistance, Range } from "../results/distances.js";

/** How far the encoders of two trainings of one cell kind lie apart, that differ in their seed alone. */
export interface SeedPair {
  paper: KernelDistance;
  medianHeuristic: KernelDistance;
  procrustes: number | null;
}

/** From the lowest to the highest; null for none, or where one of them is undefined. */
export function rangeOf(values: readonly (number | null)[]): Range | null {
  const known = values.filter((value) => value !== null);
  if (known.length === 0 || known.length < values.length) return null;
  return {
    low: Math.min(...known),
    mean: average(known),
    high: Math.max(...known),
  };
}

/** Over a model's tasks; none for a model of which it is not known. */
export function driftBandsOf(
  drift: readonly DriftBetweenSeeds[],
): { model: string; low: number; high: number }[] {
  const known = drift.flatMap(({ model, paper }) => (paper === null ? [] : [{ model, ...paper }]));
  return [...groupBy(known, ({ model }) => model)].map(([model, own]) => ({
    model,
    low: smallest(own.map(({ low }) => low)),
    high: largest(own.map(({ high }) => high)),
  }));
}

interface Measure {
  name: "paper" | "medianHeuristic" | "procrustes";
  words: string;
  ofDistance(one: Distance): number | null;
  ofPair(pair: SeedPair): number | null;
}

/** A distance at its floor or ceiling is none. */
const sound = ({ saturated, biased }: Pick<KernelDistance, "saturated"> & { biased: number | null }) =>
  saturated ? null : biased;

/** What D2P is judged by: the first that is a distance, for all seeds and pairs of seeds. */
const measures: readonly Measure[] = [
  {
    name: "paper",
    words: "MMD² of the paper",
    ofDistance: ({ paper }) => sound(paper),
    ofPair: ({ paper }) => sound(paper),
  },
  {
    name: "medianHeuristic",
    words: "MMD² at the features’ own scale",
    ofDistance: ({ medianHeuristic }) => sound(medianHeuristic),
    ofPair: ({ medianHeuristic }) => sound(medianHeuristic),
  },
  {
    name: "procrustes",
    words: "Procrustes distance",
    ofDistance: ({ withoutKernel }) => withoutKernel?.procrustes ?? null,
    ofPair: ({ procrustes }) => procrustes,
  },
];

/**
 * Whether a fine-tuned encoder moved further from the pretrained one than trainings that differ in their seed alone move
 * apart. Two trainings never end in the same encoder, so that D2P lies above 0 whatever happened. `beyond`: the D2P of
 * every seed is larger than the largest distance between two seeds. If the pretrained encoder were nothing but one more
 * training, one of S + 1 alike would lie as far from all others by a chance of at most 1 / (S + 1).
 *
 * @param distances D2P, one a seed
 * @param pairs one of each two seeds
 * @param seeds how many fine-tuned cells there are
 */
export function judgeDrift(
  distances: readonly Distance[],
  pairs: readonly SeedPair[],
  seeds: number,
): DriftBetweenSeeds["d2p"] {
  const notKnown = (reason: string): DriftBetweenSeeds["d2p"] => ({
    verdict: "not-known",
    measure: null,
    value: null,
    chance: null,
    reason,
  });
  if (seeds < 2)
    return notKnown(
      "one seed: how far two trainings drift apart is not known, and D2P is judged against nothing",
    );
  if (distances.length === 0) return notKnown("there is no D2P to judge");
  if (pairs.length === 0)
    return notKnown("the encoders of two seeds have no features of the same test cases");
  for (const { name, words, ofDistance, ofPair } of measures) {
    const d2p = rangeOf(distances.map(ofDistance));
    const band = rangeOf(pairs.map(ofPair));
    if (d2p === null || band === null) continue;
    const verdict = d2p.low > band.high ? "beyond" : "within";
    const chance = 1 / (seeds + 1);
    const between = `between seeds (${span(band)} over ${pairs.length} ${pairs.length === 1 ? "pair" : "pairs"})`;
    return {
      verdict,
      measure: name,
      value: d2p.mean,
      chance,
      reason:
        verdict === "beyond"
          ? `D2P ${number(d2p.mean)} (${words}) is beyond the drift ${between}: it moved further than two seeds differ. Of ${seeds} seeds, chance alone puts it there in up to 1 of ${seeds + 1} studies`
          : `D2P ${number(d2p.mean)} (${words}) is within the drift ${between}: it moved no more than two seeds differ`,
    };
  }
  return notKnown(
    "no measure is a distance for all seeds: MMD² is saturated, and the Procrustes distance undefined",
  );
}

const number = (value: number): string => (value === 0 ? "0" : value.toPrecision(2));

const span = ({ low, high }: Range): string =>
  number(low) === number(high) ? number(low) : `${number(low)} to ${number(high)}`;
