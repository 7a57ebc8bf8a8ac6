import { ownCommand } from "../common/own-commands.js";
import type { PlannedCell } from "../study/plan/plan.js";

/** A cell with what a scheduler of jobs needs to know of it, beside `dependsOn` and `memoryBytes`. */
export interface ScheduledCell extends PlannedCell {
  /** What works on it, once the study is prepared. */
  command: string;
  /** Estimated; null where no step was timed (`plan --probe`). */
  hours: number | null;
}

export const plannedCells = (
  cells: readonly PlannedCell[],
  folder: string,
  seconds: Readonly<Record<string, number | null>> | null,
): ScheduledCell[] =>
  cells.map((cell) => {
    const estimate = seconds?.[cell.id] ?? null;
    return {
      ...cell,
      command: ownCommand("cell", folder, cell.id),
      hours: estimate === null ? null : estimate / 3600,
    };
  });
