import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";

/** Where everything lies that Slurm is given of a study, in the study's folder. */
export const slurmPaths = (folder: string) => ({
  all: join(folder, "slurm"),
  /** Held by whoever submits. */
  lock: join(folder, "slurm", ".lock"),
  /** The limits of the cluster, as they were read last. */
  limits: join(folder, "slurm", "limits.json"),
  /** How often a cell died, and where. */
  attempts: (id: string) => join(folder, "slurm", "attempts", `${id}.json`),
  submission: (number: number) => submissionPaths(join(folder, "slurm", String(number))),
});

/** What was submitted at once: a folder of its own. */
const submissionPaths = (folder: string) => ({
  folder,
  /** The study as it was submitted, whatever becomes of its file. */
  study: join(folder, "study.json"),
  setup: join(folder, "setup.sh"),
  script: (name: string) => join(folder, `${name}.sh`),
  /** Which cells each task of each array works on. */
  layout: join(folder, "layout.json"),
  submitAll: join(folder, "submit.sh"),
  /** By a line, the name of a script and the id of its job. */
  submitted: join(folder, "submitted.tsv"),
  /** Ids of jobs that were cancelled. */
  cancelled: join(folder, "cancelled.tsv"),
  logs: join(folder, "logs"),
});

/** The numbers of a study's submissions, the first one first. */
export async function submissionsOf(folder: string): Promise<number[]> {
  const names = await readdir(slurmPaths(folder).all).catch(() => [] as string[]);
  return names
    .filter((name) => /^[1-9]\d{0,8}$/.test(name))
    .map(Number)
    .sort((a, b) => a - b);
}

/** What all jobs of a study's folder are called by, up to the number of the submission and the name of the script. */
export const jobPrefix = (study: string, folder: string): string =>
  `${study}.${createHash("sha256").update(folder).digest("hex").slice(0, 8)}`;

/** What a job is called in Slurm's queue. */
export const jobName = (prefix: string, submission: number, script: string): string =>
  `${prefix}.${submission}.${script}`;
