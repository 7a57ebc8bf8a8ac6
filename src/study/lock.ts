import { randomUUID } from "node:crypto";
import { link, readFile, rename, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { TransferLimitsError } from "../common/errors.js";

const ownerSchema = z.object({ host: z.string(), pid: z.int().positive(), started: z.string() });
type Owner = z.infer<typeof ownerSchema>;

/**
 * Makes this process the only one that works in a study's folder. A lock whose process no longer lives is taken over.
 * A process is known by its id and the time it was started, as ids are used again.
 *
 * @returns what gives the folder back
 * @throws `BUSY` naming the process that holds it
 */
export async function lockStudy(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, ".lock");
  const draft = join(folder, `.lock-${randomUUID()}`);
  const started = await startOf(process.pid);
  const owner: Owner = { host: hostname(), pid: process.pid, started: started ?? "unknown" };
  await writeFile(draft, `${JSON.stringify(owner)}\n`);
  try {
    while (!(await claim(draft, path))) {
      const holder = await read(path);
      if (holder === "gone") continue;
      if (holder !== "unreadable" && (await isAlive(holder))) throw busy(folder, holder);
      await takeAway(path, holder, folder);
    }
  } finally {
    await rm(draft, { force: true });
  }
  return () => rm(path, { force: true });
}

/** Gives the complete draft the lock's name; false where another lock has it. */
async function claim(draft: string, path: string): Promise<boolean> {
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

async function read(path: string): Promise<Owner | "gone" | "unreadable"> {
  try {
    return ownerSchema.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT" ? "gone" : "unreadable";
  }
}

/** Removes a stale lock, unless another process has replaced it in the meantime: then that one gets it back. */
async function takeAway(path: string, stale: Owner | "unreadable", folder: string): Promise<void> {
  const aside = `${path}-stale-${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  const taken = await read(aside);
  if (JSON.stringify(taken) !== JSON.stringify(stale) && typeof taken === "object") {
    await claim(aside, path);
    await rm(aside, { force: true });
    throw busy(folder, taken);
  }
  await rm(aside, { force: true });
}

/** Of a process on another host nothing can be known: its lock stands. */
async function isAlive({ host, pid, started }: Owner): Promise<boolean> {
  if (host !== hostname()) return true;
  return (await startOf(pid)) === started;
}

/** When a process was started, in the kernel's ticks since boot; null where there is no such process. */
async function startOf(pid: number): Promise<string | null> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, "utf8");
    // The name of the program, in parentheses, may hold anything; the state follows as field 3, the start is field 22.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? null : (fields[19] ?? null);
  } catch {
    return null;
  }
}

function busy(folder: string, { pid, host }: Owner): TransferLimitsError {
  const elsewhere = host === hostname() ? "" : ` on ${host}`;
  const hint = elsewhere ? ` If it no longer runs there, delete ${join(folder, ".lock")}` : "";
  return new TransferLimitsError("BUSY", `Process ${pid}${elsewhere} already works in ${folder}.${hint}`);
}
