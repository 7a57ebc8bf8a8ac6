import { resolve } from "node:path";
import { messageOf } from "../common/errors.js";
import { readRegularText } from "../common/regular-file.js";
import { isThere } from "../common/set-aside.js";
import { studyPaths } from "../results/paths.js";
import { readFailure } from "../study/cell/cell-folder.js";
import { readStudy } from "../study/cell/job.js";
import { resolveStudy } from "../study/config/resolve.js";
import type { Study } from "../study/config/schema.js";
import { planStudy } from "../study/plan/plan.js";
import { readAttempts } from "./attempts.js";
import { jobPrefix, slurmPaths } from "./paths.js";
import { type QueuedTask, readQueue } from "./queue.js";
import { readSubmissions, type Submission } from "./record.js";

/** What is known of a cell. */
export interface CellState {
  id: string;
  /**
   * `running`, `waiting`: in a job that runs or waits, as far as that is known; `pending`: no job works on it, or will; the
   * next `run --slurm` submits it.
   */
  state: "done" | "failed" | "running" | "waiting" | "pending";
  /** The last job that was given it, as Slurm names it: `123_4`; null: none was. */
  job: string | null;
  /** What Slurm says of that job; null where it says nothing. */
  slurm: { state: string; timeLeft: string; reason: string } | null;
  /** Of one that failed. */
  reason?: string;
}

/** What is known of a study in Slurm. */
export interface StudyStatus {
  name: string;
  cells: CellState[];
  /** The jobs beside the cells that wait or run: `prepare`, `collect`. */
  beside: { script: string; job: string; state: string; timeLeft: string; reason: string }[];
  /** Why Slurm did not say anything, so that this is what the folder says; null where it did. */
  notAsked: string | null;
}

/**
 * What became of the cells of a study, and of their jobs: one question to Slurm, none where nothing was submitted. Where it
 * does not answer, what the folder says.
 *
 * @throws `NOT_READY`, `BAD_FILE`
 */
export async function statusOf(folderGiven: string): Promise<StudyStatus> {
  const folder = resolve(folderGiven);
  const submissions = await readSubmissions(folder);
  const study = await submittedStudy(folder, submissions);
  const { queue, why } = submissions.some(({ jobs }) => jobs.size > 0)
    ? await queueOrWhy(jobPrefix(study.name, folder))
    : { queue: null, why: "Nothing was submitted to Slurm" };
  const cells: CellState[] = [];
  for (const { id } of planStudy(study).cells) cells.push(await cellState(folder, id, submissions, queue));
  const beside = (queue ?? []).filter(({ task }) => task === null);
  return {
    name: study.name,
    cells,
    beside: beside.map(({ script, id, state, timeLeft, reason }) => ({
      ...{ script, job: id, state, timeLeft, reason },
    })),
    notAsked: why,
  };
}

async function cellState(
  folder: string,
  id: string,
  submissions: readonly Submission[],
  queue: readonly QueuedTask[] | null,
): Promise<CellState> {
  const given = jobGiven(id, submissions);
  const job = given?.job ?? null;
  if (await isThere(studyPaths(folder).cell(id))) return { id, state: "done", job, slurm: null };
  const queued = queue?.find((one) => one.id === job);
  const slurm = queued && { state: queued.state, timeLeft: queued.timeLeft, reason: queued.reason };
  const attempts = await readAttempts(folder, id);
  const isBegun = attempts !== null && attempts.job === job;
  if (slurm !== undefined) {
    const runs = slurm.state !== "PENDING" && isBegun;
    return { id, state: runs ? "running" : "waiting", job, slurm };
  }
  const failure = await readFailure(folder, id);
  if (failure !== null) return { id, state: "failed", job, slurm: null, reason: failure.reason };
  if (queue !== null || job === null || given?.isCancelled) return { id, state: "pending", job, slurm: null };
  return { id, state: isBegun ? "running" : "waiting", job, slurm: null };
}

/** The job that a cell was given last. */
function jobGiven(
  id: string,
  submissions: readonly Submission[],
): { job: string; isCancelled: boolean } | null {
  for (const { arrays, jobs, cancelled } of [...submissions].reverse()) {
    for (const [name, tasks] of arrays) {
      const task = tasks.findIndex((cells) => cells.includes(id));
      const job = jobs.get(name);
      if (task >= 0 && job !== undefined) return { job: `${job}_${task}`, isCancelled: cancelled.has(job) };
    }
  }
  return null;
}

/** The study that was submitted last; otherwise the one that was prepared. */
export async function submittedStudy(folder: string, submissions: readonly Submission[]): Promise<Study> {
  const last = submissions.findLast(({ jobs }) => jobs.size > 0);
  if (last === undefined) return readStudy(folder);
  try {
    const text = await readRegularText(slurmPaths(folder).submission(last.number).study);
    const result = resolveStudy(JSON.parse(text), folder);
    if ("study" in result) return result.study;
  } catch {
    // The one that was prepared is the same.
  }
  return readStudy(folder);
}

async function queueOrWhy(prefix: string): Promise<{ queue: QueuedTask[] | null; why: string | null }> {
  try {
    return { queue: await readQueue(prefix), why: null };
  } catch (error) {
    return { queue: null, why: messageOf(error) };
  }
}
