import { readCell, readPretraining } from "../cell/cell-folder.js";
import type { Probe } from "../cell/probe.js";
import type { CheckedStudy } from "../plan/checked-study.js";
import { ratesFor } from "../plan/time-calibration.js";
import { type StudyTime, studyTime, threadsOf } from "../plan/time-model.js";
import type { FolderStates } from "./cell-states.js";

/**
 * How long the rest of a study takes, with the rates of its device, corrected by its cells that are done.
 *
 * @param states what lies in its folder; null: that is not known
 * @param probe steps of its networks that were timed here; null: none were
 */
export async function plannedTime(
  checked: CheckedStudy,
  states: FolderStates | null,
  probe: Pick<Probe, "seconds"> | null = null,
): Promise<StudyTime> {
  const { study, plan } = checked;
  const { device, output } = study.execution;
  const done = new Map<string, number | null>();
  for (const { id, kind } of plan.cells) {
    const state = states?.cells.get(id)?.kind;
    if (state !== "kept" && state !== "returns") continue;
    const read = kind === "pretraining" ? readPretraining : readCell;
    const cost = state === "kept" ? (await read(output, id).catch(() => null))?.cost : undefined;
    const isOfThis = cost !== undefined && isLike(cost, device) && cost.threads === threadsOf(study);
    done.set(id, isOfThis ? cost.wallSeconds : null);
  }
  return studyTime(checked, await ratesFor(study), done, probe?.seconds);
}

const isLike = (cost: { device: string }, device: string): boolean =>
  (cost.device === "cpu") === (device === "cpu");
