import { expected, TransferLimitsError } from "../common/errors.js";
import type { CellResult } from "../results/cell.js";
import type { Gain, GainReference } from "../results/claims.js";
import { cellsOf, requireCells } from "./cells.js";
import { directionOf, turned } from "./direction.js";

/** In the order in which results list them. */
const references: readonly GainReference[] = [
  "random-weights",
  "pretrained",
  "from-scratch",
  "specialised",
  "trivial",
];

/**
 * Relative performance gain in percent, equation 2 of the paper: (P_ft - P_ref) / P_ref x 100.
 *
 * Null where the reference is 0 or less: a ratio to 0 is undefined, and one to a negative number (an SSIM can be
 * one) would call an improvement a loss.
 *
 * @throws `BAD_INPUT` for a value that is NaN or no number
 */
export function relativePerformanceGain(fineTuned: number, reference: number): number | null {
  for (const [name, value] of Object.entries({ fineTuned, reference }))
    if (typeof value !== "number" || Number.isNaN(value)) throw expected("a number", name, value);
  if (!(reference > 0)) return null;
  return ((fineTuned - reference) / reference) * 100;
}

/**
 * The gain of every fine-tuned cell over each reference cell that is there (`cellsOf`), in the order of the fine-tuned
 * cells: by how many percent of the reference it is the better one, whichever values of the metric are.
 *
 * @throws `BAD_INPUT` when a cell and its reference were not measured by the same metric
 */
export function computeGains(cells: readonly CellResult[]): Gain[] {
  requireCells(cells);
  const over = references.map((reference) => ({ reference, othersOf: cellsOf(cells, reference) }));
  return cells
    .filter(({ comparator }) => comparator === "fine-tuned")
    .flatMap((cell) =>
      over.flatMap(({ reference, othersOf }) =>
        othersOf(cell).map((other) => gainOver(cell, other, reference)),
      ),
    );
}

function gainOver(cell: CellResult, other: CellResult, reference: GainReference): Gain {
  if (cell.metric.name !== other.metric.name) {
    const message =
      `Expected one metric for a gain but received ${cell.metric.name} of cell ${cell.id} ` +
      `and ${other.metric.name} of cell ${other.id}`;
    throw new TransferLimitsError("BAD_INPUT", message);
  }
  const { mean: fineTuned, name } = cell.metric;
  const { mean: referenceValue } = other.metric;
  const known =
    fineTuned === null || referenceValue === null ? null : relativePerformanceGain(fineTuned, referenceValue);
  const percent = known && turned(known, directionOf(cell.metric));
  const { task, strategy, model, seed } = cell;
  const gain = { task, strategy, model, seed, reference, fineTuned, referenceValue };
  if (percent !== null) return { ...gain, percent };
  const undefinedMetric = [cell, other].find(({ metric }) => metric.mean === null)?.metric;
  const reason = undefinedMetric
    ? `${name} is undefined on the test set${undefinedMetric.reason ? `: ${undefinedMetric.reason}` : ""}`
    : "the reference is 0 or less";
  return { ...gain, percent, reason };
}
