import { askSlurm } from "./client.js";

/** A job, or a task of an array, that waits or runs. */
export interface QueuedTask {
  /** As Slurm takes it: `123`, or `123_4`. */
  id: string;
  /** Of the array, or the job itself. */
  job: string;
  /** Null for a job that is no array. */
  task: number | null;
  /** As Slurm calls it: `PENDING`, `RUNNING`, `COMPLETING`... */
  state: string;
  /** `1-02:03:04`, as Slurm says it. */
  timeLeft: string;
  /** Why it waits. */
  reason: string;
  submission: number;
  /** Of the script, without `.sh`. */
  script: string;
}

/** Fields of `squeue --format`: the name comes last, as a study's may hold anything but blanks. */
const fields = "%F|%K|%T|%L|%r|%j";

/**
 * What waits and runs of a study's jobs: one question to Slurm.
 *
 * @throws `SLURM`
 */
export async function readQueue(prefix: string): Promise<QueuedTask[]> {
  const user = String(process.getuid?.() ?? "");
  const words = ["--noheader", "--array", `--user=${user}`, `--format=${fields}`];
  return queuedIn(await askSlurm("squeue", words), prefix);
}

/** What `squeue` printed, of the jobs with this prefix. */
export function queuedIn(printed: string, prefix: string): QueuedTask[] {
  return printed.split("\n").flatMap((line) => {
    const [job = "", index = "", state = "", timeLeft = "", reason = "", ...rest] = line.trim().split("|");
    const name = rest.join("|");
    if (!name.startsWith(`${prefix}.`)) return [];
    const [, submission, script] =
      /^([1-9]\d{0,8})\.([a-z]+(?:-\d+)?)$/.exec(name.slice(prefix.length + 1)) ?? [];
    if (submission === undefined || script === undefined || !/^\d+$/.test(job)) return [];
    const task = /^\d+$/.test(index) ? Number(index) : null;
    const id = task === null ? job : `${job}_${task}`;
    return [{ id, job, task, state, timeLeft, reason, submission: Number(submission), script }];
  });
}
