import { requireList, requireOptions } from "../common/arguments.js";
import type { CellResult } from "../study/results.js";

/** Cells' results, as far as statistics need them. @throws `BAD_INPUT` */
export function requireCells(cells: unknown): asserts cells is CellResult[] {
  requireList(cells, "cells", "an array of cells' results");
  for (const [index, cell] of cells.entries()) {
    requireOptions(cell, `cells[${index}]`);
    const { metric } = cell as Partial<CellResult>;
    requireOptions(metric, `cells[${index}].metric`);
    requireList((metric as Partial<CellResult["metric"]>).cases, `cells[${index}].metric.cases`);
  }
}
