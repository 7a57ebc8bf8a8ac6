import type { OfDrawn } from "./drawn-specificity.js";
import { quadraticWeightedKappa } from "./metrics.js";

/** What was found in a case that holds lesions or none. */
export interface FoundInCase {
  /** Candidates that count, and whether each of them is a lesion. */
  candidates: { confidence: number; hit: boolean }[];
  /** How many lesions there are, those that were missed among them. */
  lesions: number;
}

/** How often each of some cases was drawn. */
function timesDrawn(drawn: readonly number[], times: Uint32Array): void {
  times.fill(0);
  for (const index of drawn) times[index] = (times[index] as number) + 1;
}

/** Places of values in falling order, those of one value together. */
function fallingGroups(values: readonly number[]): number[][] {
  const order = [...values.keys()].sort((a, b) => (values[b] as number) - (values[a] as number));
  const groups: number[][] = [];
  for (const [place, index] of order.entries()) {
    if (place > 0 && values[order[place - 1] as number] === values[index]) groups.at(-1)?.push(index);
    else groups.push([index]);
  }
  return groups;
}

/** `auc` of cases that are drawn again and again; NaN where one kind alone was drawn. */
export function aucOfDrawn(labels: readonly boolean[], scores: readonly number[]): OfDrawn {
  const groups = fallingGroups(scores);
  const times = new Uint32Array(scores.length);
  return (drawn) => {
    timesDrawn(drawn, times);
    let [positives, negatives, area] = [0, 0, 0];
    for (const group of groups) {
      let [more, others] = [0, 0];
      for (const index of group) {
        if (labels[index]) more += times[index] as number;
        else others += times[index] as number;
      }
      // Those above a negative count whole, those level with it by half.
      area += others * (positives + more / 2);
      positives += more;
      negatives += others;
    }
    return area / (positives * negatives);
  };
}

/** Quadratic weighted kappa of cases that are drawn again and again; NaN where chance leaves nothing to agree beyond. */
export function kappaOfDrawn(truth: readonly number[], predicted: readonly number[]): OfDrawn {
  const classes = 1 + Math.max(0, ...truth, ...predicted);
  return (drawn) =>
    quadraticWeightedKappa(
      drawn.map((index) => truth[index] as number),
      drawn.map((index) => predicted[index] as number),
      classes,
    ) ?? Number.NaN;
}

/** The candidates of some cases in falling order of confidence, those of one confidence together. */
function rankedCandidates(cases: readonly FoundInCase[]) {
  const all = cases.flatMap(({ candidates }, index) => candidates.map((one) => ({ ...one, case: index })));
  return fallingGroups(all.map(({ confidence }) => confidence)).map((group) =>
    group.map((index) => all[index] as (typeof all)[number]),
  );
}

const lesionsDrawn = (cases: readonly FoundInCase[], times: Uint32Array): number =>
  cases.reduce((sum, { lesions }, index) => sum + lesions * (times[index] as number), 0);

/**
 * Average precision over the candidates of all cases: the area below precision against the share of lesions found, in steps,
 * a lesion that no candidate hits being found at no threshold. NaN without a lesion.
 */
export function averagePrecisionOfDrawn(cases: readonly FoundInCase[]): OfDrawn {
  const groups = rankedCandidates(cases);
  const times = new Uint32Array(cases.length);
  return (drawn) => {
    timesDrawn(drawn, times);
    const lesions = lesionsDrawn(cases, times);
    let [hits, alarms, area] = [0, 0, 0];
    for (const group of groups) {
      let more = 0;
      for (const { case: index, hit } of group) {
        if (hit) more += times[index] as number;
        else alarms += times[index] as number;
      }
      if (more === 0) continue;
      hits += more;
      area += (more / lesions) * (hits / (hits + alarms));
    }
    return lesions === 0 ? Number.NaN : area;
  };
}

/**
 * The free-response ROC curve (Chakraborty 1989): at each confidence that occurs, the highest first, false positives a case
 * and the share of lesions that are found.
 */
export function froc(
  cases: readonly FoundInCase[],
): { confidence: number; falsePositives: number; sensitivity: number }[] {
  const lesions = cases.reduce((sum, one) => sum + one.lesions, 0);
  let [hits, alarms] = [0, 0];
  return rankedCandidates(cases).map((group) => {
    hits += group.filter(({ hit }) => hit).length;
    alarms += group.filter(({ hit }) => !hit).length;
    return {
      confidence: group[0]?.confidence as number,
      falsePositives: alarms / cases.length,
      sensitivity: hits / lesions,
    };
  });
}

/** The largest share of lesions that is found with at most so many false positives a case; null without a lesion. */
export function sensitivityAtFalsePositives(
  cases: readonly FoundInCase[],
  falsePositives: number,
): number | null {
  if (cases.every(({ lesions }) => lesions === 0)) return null;
  return froc(cases).findLast((point) => point.falsePositives <= falsePositives)?.sensitivity ?? 0;
}
