import { readCell, readPretraining } from "../cell/cell-folder.js";
import type { Probe } from "../cell/probe.js";
import type { CheckedStudy } from "../plan/checked-study.js";
import { ratesFor } from "../plan/time-calibration.js";
import { type StudyTime, studyTime, threadsOf } from "../plan/time-model.js";
import type { FolderStates } from "./cell-states.js";

/**
 * How long the rest of a study takes, with the rates of its device, corrected by its cells that are done.
 *
 * @param finished ids of cells that are done, and of those that are moved back
 * @param probe steps of its networks that were timed here; null: none were
 */
export async function plannedTime(
  checked: CheckedStudy,
  finished: ReadonlySet<string>,
  probe: Pick<Probe, "seconds"> | null = null,
): Promise<StudyTime> {
  const { study, plan } = checked;
  const { device, output } = study.execution;
  const done = new Map<string, number | null>();
  for (const { id, kind } of plan.cells) {
    if (!finished.has(id)) continue;
    const read = kind === "pretraining" ? readPretraining : readCell;
    const cost = (await read(output, id).catch(() => null))?.cost;
    const isOfThis = cost !== undefined && isLike(cost, device) && cost.threads === threadsOf(study);
    done.set(id, isOfThis ? cost.wallSeconds : null);
  }
  return studyTime(checked, await ratesFor(study), done, probe?.seconds);
}

/** The ids of cells that need not be computed. */
export const finishedIn = (states: FolderStates | null): Set<string> =>
  new Set(
    [...(states?.cells ?? [])].flatMap(([id, { kind }]) =>
      kind === "kept" || kind === "returns" ? [id] : [],
    ),
  );

const isLike = (cost: { device: string }, device: string): boolean =>
  (cost.device === "cpu") === (device === "cpu");
