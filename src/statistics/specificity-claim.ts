import type { CellResult } from "../results/cell.js";
import { specificityDifference } from "./classification-intervals.js";
import { normal95, normal975, normalTwoSided } from "./normal.js";

/** A difference of specificities with what judges it. */
export interface SpecificityDifference {
  estimate: number;
  standardError: number;
  /** Below 0.05 exactly where the 95 % interval leaves out 0. */
  p: number;
  patients: number;
  interval(level: number): [low: number, high: number];
}

/** The sensitivity of a metric named so; null for any other. */
export function sensitivityOf(metric: string): number | null {
  const found = /^Specificity at sensitivity (0\.\d+|1)$/.exec(metric);
  const sensitivity = Number(found?.[1]);
  return sensitivity > 0 ? sensitivity : null;
}

/**
 * What cells of the same test cases say of each: whether it is positive, whose it is, and its score, a list a cell.
 *
 * @returns null where they are not of the same cases, or do not say so of every case
 */
export function labelledScores(
  cells: readonly CellResult[],
): { labels: boolean[]; patients: string[]; scores: number[][] } | null {
  const cases = cells[0]?.metric.cases ?? [];
  const scores = cells.map(({ metric }) => new Map(metric.cases.map(({ case: id, value }) => [id, value])));
  const labelled = cases.every(({ positive }) => typeof positive === "boolean");
  const scored = cases.every(({ case: id }) => scores.every((one) => typeof one.get(id) === "number"));
  if (!labelled || !scored || scores.some((one) => one.size !== cases.length)) return null;
  const labels = cases.map(({ positive }) => positive === true);
  if (!labels.includes(true) || !labels.includes(false)) return null;
  return {
    labels,
    patients: cases.map(({ case: id, patient = id }) => patient),
    scores: scores.map((one) => cases.map(({ case: id }) => one.get(id) as number)),
  };
}

/** With fewer seeds a bootstrap over them knows too little of how they scatter. */
export const fewestSeeds = 3;

/**
 * The difference in specificity of pairs of cells, one a seed: patients and seeds drawn anew, and with them the threshold.
 *
 * @returns null for another metric, fewer than three seeds, results that do not say what is positive, or too few patients
 */
export function specificityOf(
  pairs: readonly (readonly [CellResult, CellResult])[],
): SpecificityDifference | null {
  const [first] = pairs[0] as readonly [CellResult, CellResult];
  const sensitivity = sensitivityOf(first.metric.name);
  if (sensitivity === null || pairs.length < fewestSeeds) return null;
  const known = labelledScores(pairs.flat());
  if (known === null) return null;
  const { labels, patients, scores } = known;
  const scoresOf = (side: 0 | 1) => pairs.map((_, seed) => scores[2 * seed + side] as number[]);
  const { estimate, low, high, se, n } = specificityDifference(
    { labels, first: scoresOf(0), second: scoresOf(1), patients },
    { sensitivity },
  );
  if (low === null || high === null || se === null) return null;
  // As many standard errors as 0 lies from the estimate, by the half of the interval on that side.
  const half = estimate > 0 ? estimate - low : high - estimate;
  const p = half > 0 ? normalTwoSided((normal975 * Math.abs(estimate)) / half) : estimate === 0 ? 1 : 0;
  return {
    ...{ estimate, standardError: se, p, patients: n },
    interval: (level) => {
      if (level === 0.95) return [low, high];
      // Narrower by the ratio of the normal quantiles: of two one-sided tests at 5 %.
      const share = normal95 / normal975;
      return [estimate - share * (estimate - low), estimate + share * (high - estimate)];
    },
  };
}
