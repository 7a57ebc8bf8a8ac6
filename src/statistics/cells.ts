import { requireList, requireOptions, requireText } from "../common/arguments.js";
import { groupBy } from "../common/group-by.js";
import type { CellResult } from "../results/cell.js";
import type { GainReference } from "../results/claims.js";
import type { CellSummary } from "../results/study.js";

/** Cells' results, as far as statistics need them. @throws `BAD_INPUT` */
export function requireCells(cells: unknown): asserts cells is CellResult[] {
  requireList(cells, "cells", "an array of cells' results");
  for (const [index, cell] of cells.entries()) {
    requireOptions(cell, `cells[${index}]`);
    for (const name of ["task", "strategy", "model", "comparator"] as const)
      requireText((cell as Partial<CellResult>)[name], `cells[${index}].${name}`);
    const { metric } = cell as Partial<CellResult>;
    requireOptions(metric, `cells[${index}].metric`);
    requireList((metric as Partial<CellResult["metric"]>).cases, `cells[${index}].metric.cases`);
  }
}

/**
 * The cells of a reference that a fine-tuned cell is compared with: of the same task, strategy, seed and foundation model;
 * the specialised model is shared by all foundation models and strategies, what takes no network by all seeds too, unless
 * each divides the patients anew.
 */
export function cellsOf(
  cells: readonly CellResult[],
  reference: GainReference,
): (fineTuned: CellResult) => readonly CellResult[] {
  const keyOf = ({ task, strategy, model, seed, division }: CellResult): string => {
    if (reference === "trivial") return JSON.stringify(division === undefined ? [task] : [task, seed]);
    return JSON.stringify(reference === "specialised" ? [task, seed] : [task, strategy, model, seed]);
  };
  const groups = groupBy(
    cells.filter(({ comparator }) => comparator === reference),
    keyOf,
  );
  return (fineTuned) => groups.get(keyOf(fineTuned)) ?? [];
}

/** The results of the cells of a study that are done. */
export const resultsOf = (cells: readonly CellSummary[]): CellResult[] =>
  cells.flatMap(({ status, result }) => (status === "done" && result ? [result] : []));

/** Each case's own value, where it has one. */
export const valuesByCase = ({ metric }: CellResult): Map<string, number> =>
  new Map(metric.cases.flatMap(({ case: id, value }) => (value === null ? [] : [[id, value] as const])));

/** The patient of each case; in results that do not say, each case is one of its own. */
export function patientsOf({ metric }: CellResult): Map<string, string> {
  return new Map(metric.cases.map(({ case: id, patient = id }) => [id, patient]));
}
