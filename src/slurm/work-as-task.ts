import { resolve } from "node:path";
import { messageOf, TransferLimitsError } from "../common/errors.js";
import type { StudyEvent } from "../common/progress.js";
import { studyPaths } from "../results/paths.js";
import { labelOf } from "../study/cell/cell-context.js";
import { basisIn } from "../study/cell/cell-folder.js";
import { readJob, readStudy } from "../study/cell/job.js";
import { recordFailure, untilReleased } from "../study/cell/work-on-cell.js";
import type { Study } from "../study/config/schema.js";
import { planStudy } from "../study/plan/plan.js";
import type { Meeting } from "../study/run/meeting.js";
import { type CellAnswer, runCell } from "../study/run/run-cell.js";
import { WorkerPool } from "../study/run/worker-process.js";
import {
  afterDeath,
  beginAttempt,
  endAttempt,
  mostDeaths,
  ownLog,
  removeAttempts,
  tailOf,
} from "./attempts.js";
import { askSlurm } from "./client.js";

/** Why a task was asked to stop: its time is nearly over, or Slurm ends it. */
export type StopReason = "time" | "ended";

const heard: Record<StopReason, string> = {
  time: "The time of this task is nearly over",
  ended: "This task is being ended",
};

export interface TaskOptions {
  device?: string;
  /** Of those that were started together with this process. */
  meeting?: Meeting | undefined;
  /** Aborted, with a `StopReason`, where the task is to stop. */
  signal: AbortSignal;
  onProgress(event: StudyEvent): void;
  /** Told what is not of one cell alone. */
  say(words: string): void;
}

/** What became of the cells of a task. */
export interface TaskAnswer {
  cells: CellAnswer[];
  /** Cells that are not done: the task was stopped, and goes on with them where Slurm starts it again. */
  left: string[];
  requeued: boolean;
}

/**
 * Works on cells, one after the other, as a task of Slurm does. Where it is to stop, the present cell stops after its step
 * with its state on disk, and the task goes back into the queue as the one that it was. A cell whose process dies is tried
 * again; one that dies three times without an epoch between is failed.
 */
export async function workAsTask(
  folderGiven: string,
  ids: readonly string[],
  options: TaskOptions,
): Promise<TaskAnswer> {
  const folder = resolve(folderGiven);
  const { signal, say } = options;
  const tellWhy = () => say(`${heard[signal.reason as StopReason]}: it stops after the present step`);
  if (signal.aborted) tellWhy();
  else signal.addEventListener("abort", tellWhy, { once: true });
  const study = await readStudy(folder);
  announce(study, ids, options);
  const by = { job: jobOf(process.env) ?? String(process.pid), log: await ownLog() };
  const [first] = ids;
  const { threads } = first === undefined ? { threads: 1 } : await readJob(folder, first);
  using workers = new WorkerPool(threads, ids.length, study.execution.cellsPerProcess);
  const cells: CellAnswer[] = [];
  for (const id of ids) {
    if (signal.aborted) break;
    const answer = await new CellOfTask(folder, id, by, workers, options).work();
    if (answer === null) break;
    cells.push(answer);
  }
  const left = ids.slice(cells.length);
  if (left.length === 0 || !signal.aborted) return { cells, left: [...left], requeued: false };
  const requeued = await requeue(signal.reason as StopReason, process.env, say);
  return { cells, left: [...left], requeued };
}

/** Which cells come: what is told of each names its seed where they differ in it. */
function announce(study: Study, ids: readonly string[], { onProgress }: TaskOptions): void {
  const planned = new Map(planStudy(study).cells.map((cell) => [cell.id, cell]));
  const cells = ids.flatMap((id) => planned.get(id) ?? []);
  onProgress({ kind: "plan", cells: cells.map(labelOf), alreadyDone: 0 });
}

class CellOfTask {
  constructor(
    private readonly folder: string,
    private readonly id: string,
    private readonly by: { job: string; log: string | null },
    private readonly workers: WorkerPool,
    private readonly options: TaskOptions,
  ) {}

  /** Null where it was stopped. */
  async work(): Promise<CellAnswer | null> {
    const { folder, id } = this;
    // Nothing is loaded for what is done, as after the task was put back into the queue.
    const { restsOn } = await readJob(folder, id);
    const found = await basisIn(studyPaths(folder).cell(id));
    if (found?.hash === restsOn) return { id, status: "done", seconds: 0 };
    for (;;) {
      const attempts = await beginAttempt(folder, id, this.by);
      if (attempts.deaths >= mostDeaths) return this.#fail(attempts.epochs, attempts.log, "");
      const end = await this.#tryOnce();
      if (end === "stopped") {
        // A cell that makes no epoch in all of a task's time would be put back into the queue for ever.
        const inVain = this.options.signal.reason === "time";
        await endAttempt(folder, id, inVain ? await afterDeath(folder, id, attempts) : attempts);
        return null;
      }
      if (end === "free") {
        await endAttempt(folder, id, attempts);
        continue;
      }
      if (end.code !== "WORKER_DIED") {
        await removeAttempts(folder, id);
        return end;
      }
      const { deaths, epochs } = await afterDeath(folder, id, attempts);
      if (deaths >= mostDeaths) return this.#fail(epochs, this.by.log, end.reason ?? "");
      await endAttempt(folder, id, { ...attempts, deaths, epochs });
      this.options.say(`${id} died after epoch ${epochs}, and is tried again: ${end.reason}`);
      this.workers.expectAnother();
    }
  }

  async #tryOnce(): Promise<CellAnswer | "stopped" | "free"> {
    const { folder, id, workers } = this;
    const { device, signal, onProgress, meeting } = this.options;
    const started = performance.now();
    try {
      return await runCell(folder, id, {
        signal,
        onProgress,
        workers,
        meeting,
        ...(device === undefined ? {} : { device }),
      });
    } catch (error) {
      const code = error instanceof TransferLimitsError ? error.code : "INTERNAL";
      if (code === "ABORTED") return "stopped";
      if (code !== "BUSY")
        return { id, status: "failed", seconds: seconds(started), code, reason: messageOf(error) };
    }
    this.options.say(`Another process works on ${id}: this one waits for what comes of it`);
    const { restsOn } = await readJob(folder, id);
    const end = await untilReleased(folder, id, restsOn, signal);
    if (end.kind === "stopped" || end.kind === "free") return end.kind;
    const { kind: status, ...more } = end;
    return { id, status, seconds: seconds(started), ...more };
  }

  async #fail(epochs: number, log: string | null, words: string): Promise<CellAnswer> {
    const { folder, id } = this;
    const tail = await tailOf(log);
    const reason = [
      `It died ${mostDeaths} times ${epochs === 0 ? "before its first epoch was over" : `after epoch ${epochs}`}`,
      ...(words === "" ? [] : [words]),
      ...(tail === "" ? [] : [`The end of its log (${log}): ${tail}`]),
    ].join(". ");
    await recordFailure(folder, { id, code: "WORKER_DIED", reason });
    await removeAttempts(folder, id);
    return { id, status: "failed", seconds: 0, code: "WORKER_DIED", reason };
  }
}

const seconds = (started: number): number => (performance.now() - started) / 1000;

/**
 * Puts a task back into the queue as the one that it was, unless Slurm has already decided what becomes of it: then it is
 * ending, be it that it was cancelled, or that it comes back.
 */
async function requeue(
  reason: StopReason,
  environment: NodeJS.ProcessEnv,
  say: (words: string) => void,
): Promise<boolean> {
  const job = jobOf(environment);
  if (job === null) return false;
  try {
    if (reason === "ended") {
      const state = (await askSlurm("squeue", ["--noheader", `--jobs=${job}`, "--format=%T"])).trim();
      if (state !== "RUNNING") return false;
    }
    say(`Stopped: ${job} goes back into the queue, and on from there`);
    await askSlurm("scontrol", ["requeue", job]);
    return true;
  } catch (error) {
    say(`${messageOf(error)}. What is left is submitted again by run --slurm`);
    return false;
  }
}

/** The task of an array that this process is, as Slurm takes it; null outside of Slurm. */
export function jobOf(environment: NodeJS.ProcessEnv): string | null {
  const { SLURM_ARRAY_JOB_ID: array, SLURM_ARRAY_TASK_ID: task, SLURM_JOB_ID: job } = environment;
  if (array !== undefined && task !== undefined) return `${array}_${task}`;
  return job ?? null;
}
