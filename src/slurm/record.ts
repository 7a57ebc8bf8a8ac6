import { appendFile, readFile } from "node:fs/promises";
import { z } from "zod";
import { readSealedJson } from "../common/sealed-json.js";
import { slurmPaths, submissionsOf } from "./paths.js";

const layoutSchema = z.object({ arrays: z.record(z.string(), z.array(z.array(z.string()))) });

/** What was submitted at once. */
export interface Submission {
  number: number;
  /** By array, the cells of each task. */
  arrays: ReadonlyMap<string, readonly (readonly string[])[]>;
  /** By script, the id of its job: the last one, where a person submitted it again. */
  jobs: ReadonlyMap<string, string>;
  /** Ids of jobs that `cancel` has cancelled. */
  cancelled: ReadonlySet<string>;
}

/** The submissions of a study's folder, the first one first. What is damaged counts as never submitted. */
export async function readSubmissions(folder: string): Promise<Submission[]> {
  const submissions: Submission[] = [];
  for (const number of await submissionsOf(folder)) {
    const paths = slurmPaths(folder).submission(number);
    const found = await readSealedJson(paths.layout);
    const layout = found.state === "sound" ? layoutSchema.safeParse(found.value).data : undefined;
    if (layout === undefined) continue;
    const lines = (await textOf(paths.submitted)).split("\n");
    const jobs = lines.flatMap((line) => {
      const [, script, id] = /^([a-z]+(?:-\d+)?)\t(\d+)$/.exec(line) ?? [];
      return script === undefined || id === undefined ? [] : [[script, id] as const];
    });
    const cancelled = (await textOf(paths.cancelled)).split("\n").filter((line) => line !== "");
    submissions.push({
      number,
      arrays: new Map(Object.entries(layout.arrays)),
      jobs: new Map(jobs),
      cancelled: new Set(cancelled),
    });
  }
  return submissions;
}

/** Notes that a script was submitted: a line that is complete or absent. */
export const noteJob = (path: string, script: string, id: string): Promise<void> =>
  appendFile(path, `${script}\t${id}\n`);

export const noteCancelled = (path: string, ids: readonly string[]): Promise<void> =>
  appendFile(path, ids.map((id) => `${id}\n`).join(""));

async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}
