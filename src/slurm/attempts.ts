import { open, readlink, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { readSealedJson, writeSealedJson } from "../common/sealed-json.js";
import { progressFiles } from "../results/paths.js";
import { progressOf } from "../study/cell/cell-claim.js";
import { slurmPaths } from "./paths.js";

/** A cell that died so often at one place, without an epoch between, is not tried again. */
export const mostDeaths = 3;

/** How much of a log stands in the reason of a failure, in bytes. */
const endOfLog = 2000;

const attemptsSchema = z.object({
  /** The job that works on the cell, or died while it did; null: whoever did last has said how it ended. */
  job: z.string().nullable(),
  /** Its log. */
  log: z.string().nullable(),
  /** When it began. */
  since: z.string(),
  /** How often the cell died after so many epochs. */
  deaths: z.int().min(0),
  epochs: z.int().min(0),
});

/** How a cell fared in Slurm's jobs so far. */
export type Attempts = z.infer<typeof attemptsSchema>;

/** Null where nobody has worked on it; what is damaged counts as nothing. */
export async function readAttempts(folder: string, id: string): Promise<Attempts | null> {
  const found = await readSealedJson(slurmPaths(folder).attempts(id));
  return found.state === "sound" ? (attemptsSchema.safeParse(found.value).data ?? null) : null;
}

export const removeAttempts = (folder: string, id: string): Promise<void> =>
  rm(slurmPaths(folder).attempts(id), { force: true });

/** Notes that a job begins to work on a cell; answers how often the cell died at the place where it goes on. */
export async function beginAttempt(
  folder: string,
  id: string,
  by: { job: string; log: string | null },
): Promise<Attempts> {
  const before = await readAttempts(folder, id);
  // Nobody said how it ended: it died with its whole task.
  const counted = before === null || before.job === null ? before : await afterDeath(folder, id, before);
  const { deaths = 0, epochs = 0 } = counted ?? {};
  const log = deaths >= mostDeaths ? (before?.log ?? by.log) : by.log;
  const now = { ...by, log, since: new Date().toISOString(), deaths, epochs };
  await writeSealedJson(slurmPaths(folder).attempts(id), now);
  return now;
}

/** Notes that work on a cell ended in good order, to be gone on with. */
export async function endAttempt(folder: string, id: string, attempts: Attempts): Promise<void> {
  await writeSealedJson(slurmPaths(folder).attempts(id), { ...attempts, job: null });
}

/** Counts a death. One after more epochs than the last is the first at its place. */
export async function afterDeath(folder: string, id: string, attempts: Attempts): Promise<Attempts> {
  const epochs = await epochsOf(folder, id);
  const deaths = epochs === attempts.epochs ? attempts.deaths + 1 : 1;
  const now = { ...attempts, deaths, epochs };
  await writeSealedJson(slurmPaths(folder).attempts(id), now);
  return now;
}

/** After how many epochs the cell's state lies on disk. */
async function epochsOf(folder: string, id: string): Promise<number> {
  const found = await readSealedJson<{ epoch?: unknown }>(
    join(await progressOf(folder, id), progressFiles.pointer),
  );
  return found.state === "sound" && typeof found.value.epoch === "number" ? found.value.epoch : 0;
}

/** The file that a process of Slurm writes its messages to. */
export async function ownLog(): Promise<string | null> {
  const path = await readlink("/proc/self/fd/2").catch(() => null);
  return path?.startsWith("/") && (await stat(path).catch(() => null))?.isFile() ? path : null;
}

/** The end of a log; empty where it cannot be read. */
export async function tailOf(path: string | null): Promise<string> {
  if (path === null) return "";
  const file = await open(path).catch(() => null);
  if (file === null) return "";
  try {
    const { size } = await file.stat();
    const start = Math.max(0, size - endOfLog);
    const { bytesRead, buffer } = await file.read(Buffer.alloc(size - start), 0, size - start, start);
    return buffer.toString("utf8", 0, bytesRead).trim();
  } catch {
    return "";
  } finally {
    await file.close();
  }
}
