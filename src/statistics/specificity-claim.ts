import type { CellResult } from "../results/cell.js";
import { specificityDifferences } from "./classification-intervals.js";
import { average } from "./means.js";
import { type SetSpread, setSpread } from "./set-difference.js";

/** A difference of specificities, and what it varies by. */
export interface SpecificityDifference {
  estimate: number;
  spread: SetSpread;
  patients: number;
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

/** With fewer seeds too little is known of how they scatter. */
export const fewestSeeds = 3;

/**
 * The difference in specificity of pairs of cells, one a seed: patients drawn anew, and with them the threshold.
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
  const { bySeed, drawn, fewest } = specificityDifferences(
    { labels, patients, first: scoresOf(0), second: scoresOf(1) },
    { sensitivity },
  );
  const spread = drawn.length < 2 ? null : setSpread(bySeed, drawn, fewest);
  return spread && { estimate: average(bySeed), spread, patients: new Set(patients).size };
}
