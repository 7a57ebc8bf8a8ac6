import { requireList, requireOptions } from "../common/arguments.js";
import { expected, TransferLimitsError } from "../common/errors.js";
import { average } from "../common/numbers.js";
import { specificityOfDrawn } from "../tasks/drawn-specificity.js";
import { auc, quadraticWeightedKappa } from "../tasks/metrics.js";
import { normal975, normalTwoSided } from "./normal.js";
import {
  bootstrapped,
  drawnDifferences,
  drawnInterval,
  type IntervalEstimate,
  noteOn,
  pick,
  type ResamplingOptions,
  resampled,
} from "./patient-bootstrap.js";
import { setDifference, setSpread } from "./set-difference.js";

/** Test cases as one model scored them: entry i of each list is one case. */
export interface ScoredCases {
  /** Whether the case is positive. */
  labels: readonly boolean[];
  /** Higher is more likely positive. */
  scores: readonly number[];
  /** Whose it is; absent: each case is a patient's only one. */
  patients?: readonly string[] | undefined;
}

/**
 * The highest specificity among thresholds of at least that sensitivity, with its percentile interval: patients with a
 * positive case and those without are drawn anew apart from each other, with all their cases, and so is the threshold, in
 * every resample.
 *
 * @throws `BAD_INPUT` for lists of different lengths, no positive or no negative, or a score that is not finite
 */
export function specificityInterval(
  cases: ScoredCases,
  options: ResamplingOptions & { sensitivity?: number } = {},
): IntervalEstimate {
  requireOptions(options);
  const { labels, scores, patients } = requireCases(cases, "cases");
  const { sensitivity = 0.9 } = options;
  const drawn = specificityOfDrawn(labels, scores, sensitivity);
  return drawnInterval(drawn, { labels, patients }, options, "stratified bootstrap");
}

/** One model's scores of a test set, one list a seed. */
export type ScoresBySeed = readonly (readonly number[])[];

/**
 * How much higher the specificity of the first model is than that of the second, averaged over the seeds that both have
 * (`first[s]` is compared with `second[s]`). Patients are drawn anew, the same ones for both models and all seeds, and with
 * them each threshold; what resamples and what seeds differ by both stand in the interval, a seed's luck with a patient once.
 * With one seed the interval holds patients only, not trainings.
 *
 * @throws `BAD_INPUT` as `specificityInterval`, or for seeds that differ in number
 */
export function specificityDifference(
  cases: Omit<ScoredCases, "scores"> & { first: ScoresBySeed; second: ScoresBySeed },
  options: ResamplingOptions & { sensitivity?: number } = {},
): IntervalEstimate {
  requireOptions(cases, "cases");
  requireOptions(options);
  const { first, second, labels } = cases;
  requireList(first, "cases.first", "an array of scores a seed");
  requireList(second, "cases.second", "an array of scores a seed");
  if (first.length === 0 || first.length !== second.length)
    throw expected(
      `scores of ${first.length || "at least one"} seeds, as of the first model`,
      "cases.second",
      second.length,
    );
  for (const [side, lists] of Object.entries({ first, second })) {
    for (const [seed, scores] of lists.entries())
      requireCases({ labels, scores, patients: cases.patients }, `cases.${side}[${seed}]`);
  }
  const patients = cases.patients ?? labels.map((_, i) => String(i));
  const { sensitivity = 0.9 } = options;
  const ofSeeds = (lists: ScoresBySeed) =>
    lists.map((scores) => specificityOfDrawn(labels, scores, sensitivity));
  const { bySeed, drawn, fewest } = drawnDifferences(
    ofSeeds(first),
    ofSeeds(second),
    { labels, patients },
    options,
  );
  const of = { method: "stratified bootstrap", unit: "patient", n: new Set(patients).size } as const;
  const estimate = average(bySeed);
  const note = noteOn(labels, patients);
  if (bySeed.length === 1) {
    const one = "one seed: how much the result moves from one training to the next is not known";
    const values = drawn.map(([value]) => value as number);
    const answer = bootstrapped(estimate, values, labels, patients, of.method);
    return { ...answer, note: note === null ? one : `${note}; ${one}` };
  }
  const spread = drawn.length < 2 ? null : setSpread(bySeed, drawn, fewest);
  if (spread === null) return { estimate, low: null, high: null, se: null, ...of, note };
  const judged = setDifference(estimate, spread);
  const [low, high] = judged.interval(0.95);
  return {
    ...{ estimate, low: Math.max(-1, low), high: Math.min(1, high), se: judged.standardError },
    ...of,
    note,
  };
}

/**
 * The area under the ROC curve, with DeLong's variance (DeLong, DeLong & Clarke-Pearson 1988), summed over each patient's
 * cases where he has several (Obuchowski 1997).
 *
 * @throws `BAD_INPUT` as `specificityInterval`
 */
export function aucInterval(cases: ScoredCases): IntervalEstimate {
  const { labels, scores, patients } = requireCases(cases, "cases");
  const estimate = auc(labels, scores);
  return normal(estimate, variance(placements(labels, scores), labels, patients), labels, patients, [0, 1]);
}

/** The difference of two areas under the ROC curve on the same cases, with DeLong's test of no difference. */
export interface AucDifference extends IntervalEstimate {
  /** Two-sided; null where the two rank alike, so that there is no spread. */
  p: number | null;
}

/** How much larger the first model's area is, by DeLong's paired test. @throws `BAD_INPUT` as `specificityInterval` */
export function aucDifference(
  cases: Omit<ScoredCases, "scores"> & { first: readonly number[]; second: readonly number[] },
): AucDifference {
  requireOptions(cases, "cases");
  const { labels, first, second } = cases;
  const { patients } = requireCases({ labels, scores: first, patients: cases.patients }, "cases.first");
  requireCases({ labels, scores: second, patients: cases.patients }, "cases.second");
  const other = placements(labels, second);
  const differences = placements(labels, first).map((value, i) => value - (other[i] as number));
  const estimate = auc(labels, first) - auc(labels, second);
  const answer = normal(estimate, variance(differences, labels, patients), labels, patients, [-1, 1]);
  return {
    ...answer,
    p: answer.se === null || answer.se === 0 ? null : normalTwoSided(estimate / answer.se),
  };
}

/**
 * Quadratic weighted kappa of `classes` classes, with a percentile interval over resamples of patients.
 *
 * @throws `BAD_INPUT` for lists of different lengths or none, or a class that there is not
 */
export function kappaInterval(
  cases: { truth: readonly number[]; predicted: readonly number[]; patients?: readonly string[] },
  classes: number,
  options: ResamplingOptions = {},
): IntervalEstimate | null {
  requireOptions(cases, "cases");
  requireOptions(options);
  const { truth, predicted } = cases;
  const estimate = quadraticWeightedKappa(truth, predicted, classes);
  if (estimate === null) return null;
  const patients = cases.patients ?? truth.map((_, i) => String(i));
  requireLength(patients, truth.length, "cases.patients");
  const labels = truth.map(() => true); // one stratum
  const values = resampled({ labels, patients }, options, (drawn) =>
    quadraticWeightedKappa(pick(truth, drawn), pick(predicted, drawn), classes),
  );
  return { ...bootstrapped(estimate, values, labels, patients, "bootstrap"), note: null };
}

/** DeLong's structural components: of a case, the share of cases of the other kind that it is on the right side of. */
function placements(labels: readonly boolean[], scores: readonly number[]): number[] {
  return labels.map((label, i) => {
    let sum = 0;
    let others = 0;
    for (let j = 0; j < labels.length; j++) {
      if (labels[j] === label) continue;
      const away = (scores[i] as number) - (scores[j] as number);
      sum += away === 0 ? 0.5 : away > 0 === label ? 1 : 0;
      others++;
    }
    return sum / others;
  });
}

/** Of an area, or a difference of two, from its components; null where a kind has fewer than two patients. */
function variance(
  components: readonly number[],
  labels: readonly boolean[],
  patients: readonly string[],
): number | null {
  const names = [...new Set(patients)];
  const sums = new Map(names.map((name) => [name, [0, 0] as [number, number]]));
  const totals = [false, true].map((kind) => {
    const own = components.filter((_, i) => labels[i] === kind);
    const mean = average(own);
    const holders = new Set(patients.filter((_, i) => labels[i] === kind)).size;
    return { mean, cases: own.length, holders };
  });
  for (const [i, component] of components.entries()) {
    const kind = labels[i] ? 1 : 0;
    const sum = sums.get(patients[i] as string) as [number, number];
    sum[kind] += component - (totals[kind] as { mean: number }).mean;
  }
  if (totals.some(({ holders }) => holders < 2)) return null;
  let total = 0;
  const scale = totals.map(({ cases, holders }) => Math.sqrt(holders / (holders - 1)) / cases);
  for (const [negative, positive] of sums.values())
    total += (negative * (scale[0] as number) + positive * (scale[1] as number)) ** 2;
  return total;
}

function normal(
  estimate: number,
  variance: number | null,
  labels: readonly boolean[],
  patients: readonly string[],
  [least, most]: [number, number],
): IntervalEstimate {
  const rest = { method: "DeLong", unit: "patient", n: new Set(patients).size } as const;
  const note = noteOn(labels, patients);
  if (variance === null) return { estimate, low: null, high: null, se: null, ...rest, note };
  const se = Math.sqrt(variance);
  const low = Math.max(least, estimate - normal975 * se);
  return { estimate, low, high: Math.min(most, estimate + normal975 * se), se, ...rest, note };
}

function requireLength(list: readonly unknown[], length: number, name: string): void {
  requireList(list, name, "an array, one entry a case");
  if (list.length === length) return;
  throw new TransferLimitsError(
    "BAD_INPUT",
    `Expected one entry a case (${length}) for ${name} but received ${list.length}`,
  );
}

function requireCases(
  cases: ScoredCases,
  name: string,
): { labels: readonly boolean[]; scores: readonly number[]; patients: readonly string[] } {
  requireOptions(cases, name);
  const { labels, scores } = cases;
  requireList(labels, `${name}.labels`, "an array of booleans");
  requireLength(scores, labels.length, `${name}.scores`);
  const patients = cases.patients ?? labels.map((_, i) => String(i));
  requireLength(patients, labels.length, `${name}.patients`);
  for (const [i, score] of scores.entries())
    if (!Number.isFinite(score)) throw expected("a finite number", `${name}.scores[${i}]`, score);
  if (!labels.includes(true) || !labels.includes(false))
    throw expected("at least one positive and one negative case", `${name}.labels`, labels);
  return { labels, scores, patients };
}
