import { rm } from "node:fs/promises";
import { LockWatch } from "../../common/lock.js";
import { namesIn } from "../../common/names-in.js";
import type { StudyEvent } from "../../common/progress.js";
import { type OnDamage, setAside } from "../../common/set-aside.js";
import { studyPaths } from "../../results/paths.js";
import { CellClaim } from "../cell/cell-claim.js";
import { basisIn, encoderChecksum } from "../cell/cell-folder.js";
import { moveAway, moveBack } from "../cell/no-longer.js";
import type { CellBasis } from "../plan/basis.js";
import type { StudyPlan } from "../plan/plan.js";
import { type CellState, statesOf } from "./cell-states.js";

export interface SettleOptions {
  bases: ReadonlyMap<string, CellBasis>;
  /** Ids of cells whose files were found to be what was written. */
  sound: ReadonlySet<string>;
  tell(event: Extract<StudyEvent, { kind: "cell-moved-away" | "cell-moved-back" }>): void;
  onDamage: OnDamage;
}

/**
 * Brings a study's folder to what the study asks for now: cells that it asks for are kept, or moved back where they lay aside;
 * those that it does not, or that rest on something else, are moved away; what is damaged is set aside. A cell that another
 * process works on is left to that: whoever claims it next looks at it.
 *
 * @returns ids of the cells that are finished
 */
export async function settleCells(
  folder: string,
  plan: StudyPlan,
  { bases, sound, tell, onDamage }: SettleOptions,
): Promise<Set<string>> {
  const { cells, others } = await statesOf(folder, plan, bases, sound);
  const done = new Set<string>();
  for (const id of others)
    await whileClaimed(folder, id, () => away(folder, id, "the study has no such cell any more", tell));
  for (const [id, state] of cells) {
    if (state.kind === "kept") done.add(id);
    else if (state.kind === "damaged")
      onDamage(await setAside(folder, studyPaths(folder).cell(id), state.reason));
    else if (state.kind !== "new") await whileClaimed(folder, id, () => settle(id, state));
  }
  await removeJobsOfOthers(folder, bases);
  await setOthersOfEncodersAside(folder, plan, done, onDamage);
  return done;

  async function settle(
    id: string,
    state: Extract<CellState, { kind: "returns" | "changed" }>,
  ): Promise<void> {
    if (state.kind === "changed") {
      await away(folder, id, `changed: ${state.reason}`, tell);
      return;
    }
    if ((await namesIn(studyPaths(folder).cells)).includes(id))
      await away(folder, id, "the study asks for the one that it had before", tell);
    await moveBack(folder, id, state.place);
    tell({ kind: "cell-moved-back", id });
    done.add(id);
  }
}

async function away(folder: string, id: string, reason: string, tell: SettleOptions["tell"]): Promise<void> {
  const keptAs = await moveAway(folder, id, await basisIn(studyPaths(folder).cell(id)));
  tell({ kind: "cell-moved-away", id, reason, keptAs });
}

/** Does something with a cell's folder, unless another process works on it. */
async function whileClaimed(folder: string, id: string, work: () => Promise<void>): Promise<void> {
  const claim = await CellClaim.take(folder, id, new LockWatch(studyPaths(folder).cellLock(id)));
  if (!(claim instanceof CellClaim)) return;
  try {
    await work();
  } finally {
    await claim.release();
  }
}

/** What there was to do for cells that the study does not have any more, and why they failed. */
async function removeJobsOfOthers(folder: string, bases: SettleOptions["bases"]): Promise<void> {
  const { cells, job, jobs } = studyPaths(folder);
  for (const name of await namesIn(jobs)) {
    const [, id] = /^(.+)\.json$/.exec(name) ?? [];
    if (id !== undefined && !bases.has(id)) await rm(job(id), { force: true });
  }
  for (const name of await namesIn(cells)) {
    const [, id] = /^(.+)\.failed\.json$/.exec(name) ?? [];
    if (id !== undefined && !bases.has(id)) await rm(studyPaths(folder).failure(id), { force: true });
  }
}

/** Sets aside what started from an encoder that is not the one that its pretraining left: that was damaged, and computed again. */
async function setOthersOfEncodersAside(
  folder: string,
  { cells }: StudyPlan,
  done: Set<string>,
  onDamage: OnDamage,
): Promise<void> {
  for (const { id, dependsOn } of cells) {
    const [pretraining] = dependsOn;
    if (pretraining === undefined || !done.has(id) || !done.has(pretraining)) continue;
    const started = (await basisIn(studyPaths(folder).cell(id)))?.weights ?? null;
    if (started === null || started === (await encoderChecksum(folder, pretraining))) continue;
    done.delete(id);
    const reason = `it started from another encoder than ${pretraining} holds now`;
    onDamage(await setAside(folder, studyPaths(folder).cell(id), reason));
  }
}
