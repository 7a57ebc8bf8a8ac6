import { requireOptions } from "../common/arguments.js";
import { groupBy } from "../common/group-by.js";
import { average } from "../common/numbers.js";
import type { CellResult } from "../results/cell.js";
import type { MetricInterval } from "../results/intervals.js";
import type { OfDrawn } from "../tasks/drawn-specificity.js";
import { aucName, averagePrecisionName, kappaName, setMetricOf } from "../tasks/set-metrics.js";
import { requireCells } from "./cells.js";
import { aucInterval, kappaInterval } from "./classification-intervals.js";
import { normal975 } from "./normal.js";
import { drawnInterval, type IntervalEstimate, type ResamplingOptions } from "./patient-bootstrap.js";
import { methodOf, metricOfCells } from "./set-claim.js";
import { studentQuantile } from "./student-t.js";

/**
 * Intervals of the metrics that only a whole test set has, of every comparator that classified its cases or detected lesions
 * in them, averaged over its seeds: the spread over patients, as `specificityInterval`, `aucInterval` and `kappaInterval` have
 * it for one seed, and of average precision and the PI-CAI score by the bootstrap of the first, and that from seed to seed.
 * Cells that do not say what is positive have none.
 *
 * @param options of the bootstraps
 * @throws `BAD_INPUT` for what are no results of cells
 */
export function computeIntervals(
  cells: readonly CellResult[],
  options: ResamplingOptions = {},
): MetricInterval[] {
  requireCells(cells);
  requireOptions(options);
  const classified = cells.filter(({ metric }) => setMetricOf(metric.name) !== null && isComplete(metric));
  const groups = groupBy(classified, ({ task, strategy, model, comparator }) =>
    JSON.stringify([task, strategy, model, comparator]),
  );
  return [...groups.values()].flatMap((own) => {
    const { task, strategy, model, comparator, metric } = own[0] as CellResult;
    const beside = Object.keys(metric.secondary ?? {}).filter((name) => setMetricOf(name) !== null);
    const names = new Set([metric.name, aucName, kappaName, averagePrecisionName, ...beside]);
    return [...names].flatMap((name): MetricInterval[] => {
      const bySeed = own.flatMap((cell) => intervalOf(cell, name, options) ?? []);
      if (bySeed.length === 0) return [];
      const least = setMetricOf(name)?.least ?? 0;
      return [{ task, strategy, model, comparator, metric: name, ...overSeeds(bySeed, least) }];
    });
  });
}

/** Kappa asks for no positive case; whatever else is told does. */
const isComplete = ({ name, cases }: CellResult["metric"]): boolean =>
  name === kappaName ||
  (cases.every(({ value, positive }) => typeof value === "number" && typeof positive === "boolean") &&
    cases.some(({ positive }) => positive) &&
    cases.some(({ positive }) => !positive));

/** Of one seed. */
function intervalOf(cell: CellResult, name: string, options: ResamplingOptions): IntervalEstimate | null {
  const { cases, confusion } = cell.metric;
  const patients = cases.map(({ case: id, patient = id }) => patient);
  if (name === kappaName) {
    const [truth, predicted] = [
      cases.flatMap(({ truth: one }) => one ?? []),
      cases.flatMap(({ predicted: one }) => one ?? []),
    ];
    if (confusion === undefined || truth.length < cases.length || predicted.length < cases.length)
      return null;
    return kappaInterval({ truth, predicted, patients }, confusion.length, options);
  }
  const known = metricOfCells([cell], name);
  if (known === null) return null;
  if (name === aucName) {
    const labels = cases.map(({ positive }) => positive === true);
    return aucInterval({ labels, scores: cases.map(({ value }) => value as number), patients });
  }
  return drawnInterval(known.drawn[0] as OfDrawn, known, options, methodOf(known.metric));
}

const oneSeed = "one seed: how much the result moves from one training to the next is not in it";

/**
 * The mean over seeds. Its variance is that over patients, of a seed's own (no smaller than that of the mean, for all seeds
 * see the same patients), and the seeds' own over their number, whose few degrees of freedom Student's t takes into account.
 */
function overSeeds(
  bySeed: readonly IntervalEstimate[],
  least: number,
): Pick<
  MetricInterval,
  "estimate" | "low" | "high" | "standardError" | "method" | "unit" | "patients" | "seeds" | "note"
> {
  const [first] = bySeed as [IntervalEstimate, ...IntervalEstimate[]];
  const seeds = bySeed.length;
  const estimate = average(bySeed.map((one) => one.estimate));
  const of = { method: first.method, unit: first.unit, patients: first.n, seeds };
  if (seeds === 1) {
    const { low, high, se, note } = first;
    return {
      estimate,
      low,
      high,
      standardError: se,
      ...of,
      note: [note, oneSeed].filter(Boolean).join("; "),
    };
  }
  const errors = bySeed.flatMap(({ se }) => se ?? []);
  const note = bySeed.find((one) => one.note !== null)?.note ?? null;
  if (errors.length < seeds) return { estimate, low: null, high: null, standardError: null, ...of, note };
  const ofPatients = average(errors.map((se) => se ** 2));
  const ofSeeds = bySeed.reduce((sum, one) => sum + (one.estimate - estimate) ** 2, 0) / (seeds - 1) / seeds;
  const variance = ofPatients + ofSeeds;
  const standardError = Math.sqrt(variance);
  // Welch and Satterthwaite, the patients' part taken for known.
  const degrees = ofSeeds === 0 ? Number.POSITIVE_INFINITY : ((seeds - 1) * variance ** 2) / ofSeeds ** 2;
  // With that many, Student's t is the normal distribution.
  const half = standardError * (degrees > 1e5 ? normal975 : studentQuantile(0.05, degrees));
  return {
    estimate,
    low: Math.max(least, estimate - half),
    high: Math.min(1, estimate + half),
    standardError,
    ...of,
    note,
  };
}
