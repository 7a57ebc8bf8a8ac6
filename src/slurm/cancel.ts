import { resolve } from "node:path";
import { askSlurm } from "./client.js";
import { jobPrefix, slurmPaths } from "./paths.js";
import { readQueue } from "./queue.js";
import { noteCancelled, readSubmissions } from "./record.js";
import { submittedStudy } from "./status.js";

/**
 * Cancels all jobs of a study that wait or run. What is finished stays; a cell that runs stops after its step.
 *
 * @returns the ids of the jobs, each array once
 * @throws `SLURM`, `NOT_READY`
 */
export async function cancelStudy(folderGiven: string): Promise<string[]> {
  const folder = resolve(folderGiven);
  const submissions = await readSubmissions(folder);
  const { name } = await submittedStudy(folder, submissions);
  const queue = await readQueue(jobPrefix(name, folder));
  const jobs = [...new Set(queue.map(({ job }) => job))];
  if (jobs.length === 0) return [];
  // First the note: whoever submits again must not take what is ending for what works on its cells.
  for (const number of new Set(queue.map(({ submission }) => submission))) {
    const own = new Set(queue.filter((one) => one.submission === number).map(({ job }) => job));
    await noteCancelled(slurmPaths(folder).submission(number).cancelled, [...own]);
  }
  await askSlurm("scancel", jobs);
  return jobs;
}
