import { join } from "node:path";
import { writeFileAtomically, writeJson } from "../../common/atomic-file.js";
import type { MeasuredMetric } from "../../common/progress.js";
import type { CellResult } from "../../results/cell.js";
import { cellFiles } from "../../results/paths.js";
import type { PlannedCell } from "../plan/plan.js";
import type { CellClaim } from "./cell-claim.js";
import { completeCell, curveCsv } from "./cell-folder.js";
import type { OpenSets, Tested } from "./test-set.js";

/** What a cell's result holds beside what its plan says. */
type Found = Omit<
  CellResult,
  "id" | "task" | "strategy" | "model" | "comparator" | "seed" | "division" | "trainedOn"
>;

/**
 * Writes the folder of a cell that was tested: what testing gave, the training curve, the result, and what `keep` adds.
 *
 * @param sets the cases of the test set, in order, and how patients were divided
 */
export async function completeTestedCell(
  claim: CellClaim,
  cell: PlannedCell,
  {
    tested,
    testCases,
    division,
    trainedOn,
  }: Omit<OpenSets, "train" | "validation" | "test"> & { tested: Tested },
  found: Found,
  keep: (partial: string) => Promise<void> = async () => {},
): Promise<{ metric: MeasuredMetric }> {
  await completeCell(claim, async (partial) => {
    await keep(partial);
    await tested.write(partial, testCases);
    await writeFileAtomically(join(partial, cellFiles.curve), curveCsv(found.curve));
    const result: CellResult = {
      id: cell.id,
      task: cell.task as CellResult["task"],
      strategy: cell.strategy as CellResult["strategy"],
      model: cell.model,
      comparator: cell.comparator as CellResult["comparator"],
      seed: cell.seed,
      trainedOn,
      ...(division === null ? {} : { division }),
      ...found,
    };
    await writeJson(join(partial, cellFiles.result), result);
  });
  return { metric: { name: found.metric.name, value: found.metric.mean } };
}
