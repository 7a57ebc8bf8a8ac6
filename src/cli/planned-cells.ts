import { ownCommand } from "../common/own-commands.js";
import type { PlannedCell } from "../study/plan/plan.js";
import type { StudyTime } from "../study/plan/time-model.js";

/** A cell with what a scheduler of jobs needs to know of it, beside `dependsOn` and `memoryBytes`. */
export interface ScheduledCell extends PlannedCell {
  /** What works on it, once the study is prepared. */
  command: string;
  /** Estimated; 0 of a cell that is done. */
  hours: number;
}

export const plannedCells = (
  cells: readonly PlannedCell[],
  folder: string,
  times: StudyTime["cells"],
): ScheduledCell[] =>
  cells.map((cell) => ({
    ...cell,
    command: ownCommand("cell", folder, cell.id),
    hours: (times[cell.id]?.seconds ?? 0) / 3600,
  }));
