import { groupBy } from "../common/group-by.js";
import { inTaskOrder, isShared, strategies, type TaskVariant } from "../common/vocabulary.js";
import type { CellSummary } from "../results/study.js";
import { ownStrategy } from "../tasks/index.js";

/** The tasks of a study, in the order of the paper; one that is learnt in two ways stands there twice. */
export function variantsOf(
  cells: readonly Pick<CellSummary, "task" | "strategy" | "comparator">[],
): TaskVariant[] {
  const byTask = groupBy(cells, (cell) => cell.task);
  return inTaskOrder(byTask.keys()).flatMap((task) => {
    const all = byTask.get(task) ?? [];
    const ofTask = all.filter((cell) => !isShared(cell.comparator));
    // A study may have nothing but what all foundation models share.
    const learnt = new Set((ofTask.length > 0 ? ofTask : all).map(({ strategy }) => strategy));
    return strategies.filter((strategy) => learnt.has(strategy)).map((strategy) => ({ task, strategy }));
  });
}

/**
 * Whether a task counts by this strategy, where tasks are counted or correlated over: it does once, by its own strategy
 * where the study has that, for two rows of one task say much the same.
 */
export const countsFor = (variants: readonly TaskVariant[], { task, strategy }: TaskVariant): boolean =>
  strategy === ownStrategy(task) || variants.filter((other) => other.task === task).length === 1;
