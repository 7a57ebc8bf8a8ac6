import { requireList, requireOptions, requireWhole } from "../common/arguments.js";
import { expected, TransferLimitsError } from "../common/errors.js";
import { groupBy } from "../common/group-by.js";
import { randomStream } from "../common/random.js";
import { auc, quadraticWeightedKappa, specificityAtSensitivity } from "../tasks/metrics.js";
import { specificityOfDrawn } from "./drawn-specificity.js";
import { average } from "./means.js";
import { normal975, normalTwoSided } from "./normal.js";
import { setDifference, setSpread } from "./set-difference.js";
import { quantile } from "./summary.js";

/** Fewer positive or negative patients than these, and a specificity at a sensitivity says almost nothing. */
export const fewestOfAClass = 20;

const defaultResamples = 2_000;
const mostResamples = 1_000_000;

/** An estimate with its 95 % interval, and what that rests on. */
export interface IntervalEstimate {
  estimate: number;
  /** 95 %; null where too few patients allow one. */
  low: number | null;
  high: number | null;
  /** Standard error; null likewise. */
  se: number | null;
  method: "stratified bootstrap" | "DeLong" | "bootstrap";
  /** What was taken to be independent. */
  unit: "patient";
  /** How many of them. */
  n: number;
  /** What a reader must know of it; null for nothing. */
  note: string | null;
}

/** Test cases as one model scored them: entry i of each list is one case. */
export interface ScoredCases {
  /** Whether the case is positive. */
  labels: readonly boolean[];
  /** Higher is more likely positive. */
  scores: readonly number[];
  /** Whose it is; absent: each case is a patient's only one. */
  patients?: readonly string[] | undefined;
}

/** How resamples are drawn. */
export interface ResamplingOptions {
  /** Default 0. */
  seed?: number;
  /** Default 2,000; at most 1,000,000. */
  resamples?: number;
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
  const estimate = specificityAtSensitivity(labels, scores, sensitivity);
  const values = resampled({ labels, patients }, options, specificityOfDrawn(labels, scores, sensitivity));
  return bootstrapped(estimate, values, labels, patients, "stratified bootstrap");
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
  const { bySeed, drawn, fewest } = specificityDifferences(
    { labels, patients, first, second },
    { ...options, sensitivity },
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

/** Differences in specificity, first less second, one a seed: as they are, and on the same resamples of patients. */
export function specificityDifferences(
  cases: {
    labels: readonly boolean[];
    patients: readonly string[];
    first: ScoresBySeed;
    second: ScoresBySeed;
  },
  options: ResamplingOptions & { sensitivity: number },
): { bySeed: number[]; drawn: number[][]; fewest: number } {
  const { labels, patients, first, second } = cases;
  const { tables, fewest } = specificityOfResamples({ labels, patients, scores: [first, second] }, options);
  const [own, other] = tables as [number[][], number[][]];
  const differences = own.map((row, seed) =>
    row.map((value, column) => value - (other[seed]?.[column] as number)),
  );
  const columns = differences[0]?.map((_, column) => differences.map((row) => row[column] as number)) ?? [];
  return { bySeed: columns[0] as number[], drawn: columns.slice(1), fewest };
}

/**
 * The specificity of several methods: of each a table with a row a seed, whose first column is of all patients, the others of
 * resamples of them, the same ones for all methods and seeds, each with its threshold drawn anew.
 *
 * @param cases.scores of each method, one list a seed; as many seeds for all
 * @returns besides, of how many patients the kind is that has fewer; no resamples where that is one
 */
export function specificityOfResamples(
  {
    labels,
    patients,
    scores,
  }: { labels: readonly boolean[]; patients: readonly string[]; scores: readonly ScoresBySeed[] },
  options: ResamplingOptions & { sensitivity: number },
): { tables: number[][][]; fewest: number } {
  const methods = scores.map((bySeed) =>
    bySeed.map((own) => specificityOfDrawn(labels, own, options.sensitivity)),
  );
  const all = (cases: readonly number[]): number[][] =>
    methods.map((bySeed) => bySeed.map((of) => of(cases)));
  const drawn = [all([...labels.keys()]), ...ofResamples({ labels, patients }, options, all)];
  return {
    tables: methods.map((bySeed, method) =>
      bySeed.map((_, seed) => drawn.map((values) => values[method]?.[seed] as number)),
    ),
    fewest: Math.min(...strata(labels, patients).map(({ length }) => length)),
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

const pick = <Value>(values: readonly Value[], indices: readonly number[]): Value[] =>
  indices.map((index) => values[index] as Value);

/** Each patient's cases, those of patients with a positive case apart from the others. */
function strata(labels: readonly boolean[], patients: readonly string[]): number[][][] {
  const all = [...groupBy(patients.keys(), (i) => patients[i] as string).values()];
  const positive = (cases: readonly number[]) => cases.some((i) => labels[i]);
  return [all.filter(positive), all.filter((cases) => !positive(cases))].filter(({ length }) => length > 0);
}

/** A statistic of resamples of patients; those that leave it undefined are left out. */
const resampled = (
  cases: { labels: readonly boolean[]; patients: readonly string[] },
  options: ResamplingOptions,
  statistic: (drawn: readonly number[], integer: (below: number) => number) => number | null,
): number[] =>
  ofResamples(cases, options, (drawn, integer) => {
    const value = statistic(drawn, integer);
    return value !== null && Number.isFinite(value) ? value : null;
  });

function ofResamples<Value>(
  { labels, patients }: { labels: readonly boolean[]; patients: readonly string[] },
  { seed = 0, resamples = defaultResamples }: ResamplingOptions,
  statistic: (drawn: readonly number[], integer: (below: number) => number) => Value | null,
): Value[] {
  requireWhole(seed, "seed");
  if (!(Number.isSafeInteger(resamples) && resamples >= 1 && resamples <= mostResamples))
    throw expected(`a whole number from 1 to ${mostResamples}`, "resamples", resamples);
  const random = randomStream(seed, "patients");
  const integer = (below: number) => random.integer(0, below - 1);
  const groups = strata(labels, patients);
  if (groups.some((group) => group.length < 2)) return [];
  const values: Value[] = [];
  for (let b = 0; b < resamples; b++) {
    const drawn = groups.flatMap((group) => group.flatMap(() => group[integer(group.length)] as number[]));
    // Where every negative case is of a patient with a positive one, a resample may hold cases of one kind only.
    if (groups.length === 1 && labels.includes(false) && new Set(pick(labels, drawn)).size < 2) continue;
    const value = statistic(drawn, integer);
    if (value !== null) values.push(value);
  }
  return values;
}

function bootstrapped(
  estimate: number,
  values: readonly number[],
  labels: readonly boolean[],
  patients: readonly string[],
  method: IntervalEstimate["method"],
): IntervalEstimate {
  const n = new Set(patients).size;
  const note = noteOn(labels, patients);
  if (values.length < 2)
    return { estimate, low: null, high: null, se: null, method, unit: "patient", n, note };
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const se = Math.sqrt(squares / (values.length - 1));
  const [low, high] = [quantile(values, 0.025), quantile(values, 0.975)];
  return { estimate, low, high, se, method, unit: "patient", n, note };
}

function noteOn(labels: readonly boolean[], patients: readonly string[]): string | null {
  const of = (label: boolean) => new Set(patients.filter((_, i) => labels[i] === label)).size;
  const [positive, negative] = [of(true), of(false)];
  if (Math.min(positive, negative) >= fewestOfAClass) return null;
  return `${positive} positive and ${negative} negative patients: below ${fewestOfAClass} of either it says almost nothing`;
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
    const mean = own.reduce((sum, value) => sum + value, 0) / own.length;
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
