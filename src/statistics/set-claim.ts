import { average } from "../common/numbers.js";
import type { CellResult } from "../results/cell.js";
import type { OfDrawn } from "../tasks/drawn-specificity.js";
import { type ScoredCase, type SetMetric, setMetricOf } from "../tasks/set-metrics.js";
import { drawnDifferences, type PatientsToDraw } from "./patient-bootstrap.js";
import { type SetPair, type SetSpread, setSpread, varianceOf } from "./set-difference.js";

/** A difference of a metric that only a whole test set has, and what it varies by. */
export interface DifferenceOfSet {
  estimate: number;
  spread: SetSpread;
  /** Both models by themselves. */
  pair: SetPair;
  patients: number;
}

/** A metric of a whole test set as cells of the same cases have it, for patients that are drawn anew. */
export interface MetricOfCells extends PatientsToDraw {
  metric: SetMetric;
  /** A cell each, in their order. */
  drawn: OfDrawn[];
}

/**
 * A metric of whole test sets of cells that were tested on the same cases.
 *
 * @returns null for a metric that a case has by itself, where they are not of the same cases, where they do not say of every
 * case what the metric takes, and where it is undefined
 */
export function metricOfCells(cells: readonly CellResult[], name: string): MetricOfCells | null {
  const metric = setMetricOf(name);
  const cases = cells[0]?.metric.cases ?? [];
  if (metric === null || cases.length === 0) return null;
  const drawn: OfDrawn[] = [];
  for (const cell of cells) {
    const byId = new Map(cell.metric.cases.map((one) => [one.case, one]));
    const own = cases.flatMap(({ case: id }): ScoredCase[] => {
      const one = byId.get(id);
      return one ? [one as ScoredCase] : [];
    });
    const statistic = own.length === cases.length && byId.size === cases.length ? metric.of(own) : null;
    if (statistic === null || !Number.isFinite(statistic([...cases.keys()]))) return null;
    drawn.push(statistic);
  }
  return {
    metric,
    drawn,
    labels: cases.map(({ positive }) => !metric.stratified || positive === true),
    patients: cases.map(({ case: id, patient = id }) => patient),
  };
}

/** How patients are drawn for a metric. */
export const methodOf = ({ stratified }: SetMetric): "stratified bootstrap" | "bootstrap" =>
  stratified ? "stratified bootstrap" : "bootstrap";

/** With fewer seeds too little is known of how they scatter. */
export const fewestSeeds = 3;

/**
 * The difference of a metric of the whole test set between pairs of cells, one a seed: patients drawn anew, and with them all
 * that the metric takes from the set, such as a threshold.
 *
 * @returns null for another metric, fewer than three seeds, results that do not say what the metric takes, or too few patients
 */
export function differenceOfSet(
  pairs: readonly (readonly [CellResult, CellResult])[],
): DifferenceOfSet | null {
  const [first] = pairs[0] as readonly [CellResult, CellResult];
  if (pairs.length < fewestSeeds) return null;
  const known = metricOfCells(pairs.flat(), first.metric.name);
  if (known === null) return null;
  const side = (which: 0 | 1) => pairs.map((_, seed) => known.drawn[2 * seed + which] as OfDrawn);
  const { bySeed, drawn, fewest, sides } = drawnDifferences(side(0), side(1), known, {});
  const spread = drawn.length < 2 ? null : setSpread(bySeed, drawn, fewest);
  if (spread === null) return null;
  const [own, other] = sides.map((one) => ({
    mean: average(one.bySeed),
    variance: varianceOf(setSpread(one.bySeed, one.drawn, fewest) as SetSpread),
  })) as [{ mean: number; variance: number }, { mean: number; variance: number }];
  return {
    estimate: average(bySeed),
    spread,
    pair: { first: own.mean, second: other.mean, variances: { first: own.variance, second: other.variance } },
    patients: new Set(known.patients).size,
  };
}
