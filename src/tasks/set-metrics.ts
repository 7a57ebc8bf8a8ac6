import { aucOfDrawn, averagePrecisionOfDrawn, type FoundInCase, kappaOfDrawn } from "./drawn-metrics.js";
import { type OfDrawn, specificityOfDrawn } from "./drawn-specificity.js";

/** What a metric of a whole set takes of each of its cases. */
export interface ScoredCase {
  value: number | null;
  positive?: boolean;
  truth?: number;
  predicted?: number;
  found?: FoundInCase;
}

/** A metric that only a set of cases has, no single one. */
export interface SetMetric {
  name: string;
  /** Its smallest possible value; the largest is 1. */
  least: -1 | 0;
  /** Whether it tells cases with something to be found from those without: patients of both kinds are then drawn apart. */
  stratified: boolean;
  /** Its value over cases drawn from these, not a number where they leave it undefined; null where a case lacks what it takes. */
  of(cases: readonly ScoredCase[]): OfDrawn | null;
}

export const aucName = "AUC";
export const kappaName = "Quadratic weighted kappa";
export const averagePrecisionName = "Average precision";
export const piCaiName = "PI-CAI score";

export const specificityName = (sensitivity: number): string => `Specificity at sensitivity ${sensitivity}`;

/** The sensitivity of a metric named so; null for any other. */
export function sensitivityOf(metric: string): number | null {
  const found = /^Specificity at sensitivity (0\.\d+|1)$/.exec(metric);
  const sensitivity = Number(found?.[1]);
  return sensitivity > 0 ? sensitivity : null;
}

/** What each case says by one of its fields; null where one does not. */
function each<Name extends keyof ScoredCase>(
  cases: readonly ScoredCase[],
  name: Name,
): NonNullable<ScoredCase[Name]>[] | null {
  const all = cases.flatMap((one) => one[name] ?? []) as NonNullable<ScoredCase[Name]>[];
  return all.length === cases.length ? all : null;
}

type Binary = (labels: readonly boolean[], scores: readonly number[]) => OfDrawn;
const ofScores =
  (drawn: Binary): SetMetric["of"] =>
  (cases) => {
    const [labels, scores] = [each(cases, "positive"), each(cases, "value")];
    return labels === null || scores === null ? null : drawn(labels, scores);
  };

const auc: SetMetric = { name: aucName, least: 0, stratified: true, of: ofScores(aucOfDrawn) };

const kappa: SetMetric = {
  name: kappaName,
  least: -1,
  stratified: false,
  of: (cases) => {
    const [truth, predicted] = [each(cases, "truth"), each(cases, "predicted")];
    return truth === null || predicted === null ? null : kappaOfDrawn(truth, predicted);
  },
};

const averagePrecision: SetMetric = {
  name: averagePrecisionName,
  least: 0,
  stratified: true,
  of: (cases) => {
    const found = each(cases, "found");
    return found === null ? null : averagePrecisionOfDrawn(found);
  },
};

/** Average precision of lesions and area under the ROC curve of cases, each for one half (Saha et al. 2024). */
const piCai: SetMetric = {
  name: piCaiName,
  least: 0,
  stratified: true,
  of: (cases) => {
    const [precision, area] = [averagePrecision.of(cases), auc.of(cases)];
    return precision === null || area === null ? null : (drawn) => (precision(drawn) + area(drawn)) / 2;
  },
};

/** The metric of whole sets that is named so; null for one that a case has by itself. */
export function setMetricOf(name: string): SetMetric | null {
  const sensitivity = sensitivityOf(name);
  if (sensitivity !== null)
    return {
      name,
      least: 0,
      stratified: true,
      of: ofScores((labels, scores) => specificityOfDrawn(labels, scores, sensitivity)),
    };
  return [auc, kappa, averagePrecision, piCai].find((one) => one.name === name) ?? null;
}

/** The value of a metric over a set of cases; null where they leave it undefined. */
export function valueOverSet(name: string, cases: readonly ScoredCase[]): number | null {
  const value = setMetricOf(name)?.of(cases)?.([...cases.keys()]) ?? null;
  return value !== null && Number.isFinite(value) ? value : null;
}
