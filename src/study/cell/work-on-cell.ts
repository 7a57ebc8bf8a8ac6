import { setTimeout as sleep } from "node:timers/promises";
import { bounded, type ErrorCode, messageOf, TransferLimitsError } from "../../common/errors.js";
import { holderInWords, LockWatch, lockTiming } from "../../common/lock.js";
import type { MeasuredMetric } from "../../common/progress.js";
import { isThere, type OnDamage } from "../../common/set-aside.js";
import { codedError } from "../../common/system-errors.js";
import type { Ranks } from "../../native/ranks.js";
import type { CellFailure, Retry } from "../../results/cell.js";
import { studyPaths } from "../../results/paths.js";
import type { Study } from "../config/schema.js";
import type { CellBasis } from "../plan/basis.js";
import { smallerMicroBatch } from "../plan/micro-batch.js";
import type { PlannedCell } from "../plan/plan.js";
import { ranksOf } from "../plan/ranks.js";
import { CellClaim } from "./cell-claim.js";
import type { CellContext } from "./cell-context.js";
import {
  basisIn,
  isFinished,
  isFinishedAs,
  readCell,
  readFailure,
  removeFailure,
  writeFailure,
} from "./cell-folder.js";
import { openJob, readJob } from "./job.js";
import { runPretrainingCell } from "./pretraining-cell.js";
import { runTaskCell } from "./task-cell.js";
import { runTrivialCell } from "./trivial-cell.js";

/** How working on a cell ended. */
export type CellEnd =
  | { kind: "done"; metric: MeasuredMetric | null }
  /** Its failure lies in the study's folder. */
  | { kind: "failed"; code: string; reason: string }
  /** Another process works on it, which `holder` names. */
  | { kind: "elsewhere"; holder: string }
  /** It cannot be worked on yet; nothing is said of it in the study's folder. */
  | { kind: "refused"; code: ErrorCode; reason: string }
  /** Stopped on request; whoever works on it next goes on. */
  | { kind: "stopped" };

export interface WorkOptions {
  device: string;
  signal: AbortSignal;
  tell: CellContext["tell"];
  /** Called once it is known how many threads an operation on the CPU has. */
  begin(study: Study, threads: number): void;
  /** Starts those that train a cell together with this process. */
  startRanks(start: RanksStart): Promise<StartedRanks>;
}

/** What processes that train a cell along with the one that holds it need to know beyond the study's folder. */
export interface RanksStart {
  id: string;
  /** Of the cell on this process. */
  device: string;
  ranks: number;
  /** Where the state of the cell's training is kept. */
  progress: string;
  retry: Retry | null;
}

/** Those that train together, this process being rank 0. */
export interface StartedRanks extends AsyncDisposable {
  ranks: Ranks;
  /** Rejects with `RANK_DIED` as soon as one of the others has ended before its time, and says which and how. */
  died: Promise<never>;
  /** Asked once a connection to another broke: rejects with who has ended and how, where that becomes known in time. */
  whyLost(): Promise<void>;
}

/**
 * Works on one cell of a prepared study: claims it, and leaves its result or its failure in the study's folder. What was
 * done already is not done again. It never rejects.
 */
export async function workOnCell(folder: string, id: string, options: WorkOptions): Promise<CellEnd> {
  const { signal, tell } = options;
  let claim: CellClaim | null = null;
  try {
    const job = await readJob(folder, id);
    const found = await claimCell(folder, id, signal);
    if (!(found instanceof CellClaim)) return found;
    claim = found;
    const onDamage: OnDamage = (damage) => tell({ kind: "set-aside", ...damage });
    const onMoved = (keptAs: string) =>
      tell({ kind: "cell-moved-away", id, reason: "it rests on what the study was before", keptAs });
    if (await isFinishedAs(claim, job.restsOn, onDamage, onMoved))
      return { kind: "done", metric: await metricOf(folder, id) };
    const opened = await openJob(folder, job, options.device);
    const lacking = await firstLacking(folder, job.dependsOn, opened.basis);
    if (lacking !== null) return lacking;
    const retry = await retryAfter(folder, opened.study, opened.cell);
    if (retry === null) await removeFailure(folder, id);
    options.begin(opened.study, opened.threads);
    const context = { ...opened, retry, claim, tell, signal: AbortSignal.any([signal, claim.lock.lost]) };
    return await work({ ...context, progress: claim.progress, ranks: null }, claim, options);
  } catch (error) {
    if (claim?.lock.lost.aborted || isTakenOver(error))
      return { kind: "elsewhere", holder: "Another process" };
    if (signal.aborted) return { kind: "stopped" };
    return { kind: "refused", ...inWords(error) };
  } finally {
    await claim?.release().catch(() => {}); // the claim of a process that has ended holds nobody up
  }
}

/** What is done for a cell of that kind. */
export const workOf = (cell: PlannedCell) =>
  cell.kind === "pretraining" ? runPretrainingCell : cell.network === null ? runTrivialCell : runTaskCell;

async function work(context: CellContext, claim: CellClaim, options: WorkOptions): Promise<CellEnd> {
  const { study, cell, retry, signal, progress } = context;
  const run = workOf(cell);
  try {
    const ranks = ranksOf(study, cell);
    if (ranks === 1) return { kind: "done", ...(await run(context)) };
    await using together = await options.startRanks({
      ...{ id: cell.id, device: options.device },
      ...{ ranks, progress, retry },
    });
    const result = run({ ...context, ranks: together.ranks });
    // What the connection to one that ended says is less than what is known of its end.
    result.catch(() => {});
    const { metric } = await Promise.race([together.died, result.catch(afterDeath(together))]);
    return { kind: "done", metric };
  } catch (error) {
    if (signal.aborted || isTakenOver(error)) throw error;
    const failure = failureOf(cell.id, inWords(error), retry);
    await writeFailure(claim, failure);
    return { kind: "failed", code: failure.code, reason: failure.reason };
  }
}

/**
 * Claims a cell. One whose holder gives no sign of life is waited for until that counts as dead; one whose holder lives is
 * left to it.
 */
async function claimCell(folder: string, id: string, signal: AbortSignal): Promise<CellClaim | CellEnd> {
  const watch = new LockWatch(studyPaths(folder).cellLock(id));
  for (let looks = 0; ; looks++) {
    if (signal.aborted) return { kind: "stopped" };
    const found = await CellClaim.take(folder, id, watch);
    if (found instanceof CellClaim) return found;
    if (found.isAlive) return { kind: "elsewhere", holder: await holderInWords(found) };
    await sleep(Math.min(1000, 20 * 1.5 ** Math.min(looks, 20)));
  }
}

/**
 * Waits until nobody works on a cell: it is done then, failed, or free, as whoever worked on it was stopped or died, or did so
 * for what the study was before.
 *
 * @param restsOn the hash of what it is to rest on
 */
export async function untilReleased(
  folder: string,
  id: string,
  restsOn: string,
  signal: AbortSignal,
): Promise<Extract<CellEnd, { kind: "done" | "failed" | "stopped" }> | { kind: "free" }> {
  const watch = new LockWatch(studyPaths(folder).cellLock(id));
  const longest = lockTiming().deadAfter / 6;
  for (let wait = 250; ; wait = Math.min(longest, 1.3 * wait)) {
    await sleep(wait, undefined, { signal }).catch(() => {});
    if (signal.aborted) return { kind: "stopped" };
    const claim = await CellClaim.take(folder, id, watch);
    if (!(claim instanceof CellClaim)) continue;
    try {
      if (
        await isFinishedAs(
          claim,
          restsOn,
          () => {},
          () => {},
        )
      )
        return { kind: "done", metric: await metricOf(folder, id) };
      const failure = await readFailure(folder, id);
      return failure === null ? { kind: "free" } : { kind: "failed", ...withoutRetry(failure) };
    } finally {
      await claim.release();
    }
  }
}

/**
 * Says in the study's folder why a cell has no result, for a process that died, or a cell that cannot be worked on. Nothing
 * where another works on it, or it is finished after all.
 */
export async function recordFailure(folder: string, failure: CellFailure): Promise<void> {
  const { id } = failure;
  const claim = await claimCell(folder, id, new AbortController().signal);
  if (!(claim instanceof CellClaim)) return;
  try {
    if (!(await isFinished(folder, id, () => {}))) await writeFailure(claim, failure);
  } finally {
    await claim.release();
  }
}

/** A failure in words, with the try that it ended. */
export function failureOf(
  id: string,
  { code, reason }: { code: string; reason: string },
  retry: Retry | null,
): CellFailure {
  if (retry === null) return { id, code, reason };
  const tried = `It was tried twice, the second time with training.microBatch: ${retry.microBatch}. `;
  return { id, code, reason: tried + reason, retry };
}

/** How a cell is tried once more whose memory was exhausted; null where it was not, or where that would not help. */
export async function retryAfter(folder: string, study: Study, cell: PlannedCell): Promise<Retry | null> {
  const failure = await readFailure(folder, cell.id);
  if (failure?.code !== "OUT_OF_MEMORY" || failure.retry !== undefined) return null;
  const microBatch = smallerMicroBatch(study, cell);
  return microBatch === null ? null : { code: failure.code, reason: failure.reason, microBatch };
}

/** What a cell waits for, where that is not finished. */
async function firstLacking(
  folder: string,
  dependsOn: readonly string[],
  { startsFrom }: CellBasis,
): Promise<CellEnd | null> {
  for (const id of dependsOn) {
    const path = studyPaths(folder).cell(id);
    const isFinished = await isThere(path);
    // What is damaged of it, loading it says.
    const before = isFinished ? await basisIn(path) : null;
    if (isFinished && (before === null || before.hash === startsFrom)) continue;
    const failure = await readFailure(folder, id);
    const state = failure === null ? "is not finished" : `failed: ${failure.reason}`;
    const reason = `It starts from ${id}, which ${state}. Run that first`;
    return { kind: "refused", code: "NOT_READY", reason };
  }
  return null;
}

/** Waits for the reason where a connection to another process broke; other errors are as they are. */
const afterDeath =
  (together: StartedRanks) =>
  async (error: unknown): Promise<never> => {
    if (error instanceof TransferLimitsError && error.code === "RANK_DIED") await together.whyLost();
    throw error;
  };

/** Null for pretraining. */
async function metricOf(folder: string, id: string): Promise<MeasuredMetric | null> {
  const result = await readCell(folder, id);
  return result && { name: result.metric.name, value: result.metric.mean };
}

const withoutRetry = ({ code, reason }: CellFailure) => ({ code, reason });

const isTakenOver = (error: unknown): boolean =>
  error instanceof TransferLimitsError && error.code === "TAKEN_OVER";

/** An error's code and words; of a mistake of ours also where it happened. */
function inWords(error: unknown): { code: ErrorCode; reason: string } {
  const coded = codedError(error);
  const code = coded instanceof TransferLimitsError ? coded.code : "INTERNAL";
  const stack = code === "INTERNAL" && coded instanceof Error ? `\n${coded.stack}` : "";
  return { code, reason: bounded(messageOf(coded) + stack) };
}
