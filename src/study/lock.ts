import { randomUUID } from "node:crypto";
import { open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { writeJson } from "../common/atomic-file.js";
import { describe, TransferLimitsError } from "../common/errors.js";
import { readRegularText } from "../common/regular-file.js";
import {
  lives,
  type Place,
  placeHash,
  placeSchema,
  startOf,
  stateOfProcess,
  thisPlace,
} from "./process-identity.js";

const ownerSchema = placeSchema.extend({ pid: z.int().positive(), started: z.string().max(100) });
type Owner = z.infer<typeof ownerSchema>;

/** No owner has a longer description. */
const mostBytes = 64 * 1024;

/** How long several that start at once make way for each other before one of them gives up, in milliseconds. */
const patience = 30_000;

/**
 * Makes this process the only one that works in a study's folder, by a file `.lock` that describes it. A lock whose
 * process no longer lives is taken over, and so is what is no lock at all (a damaged file, a pipe, a link that leads
 * nowhere).
 *
 * Why no two can ever hold the folder. `.lock` is written, over whatever lies there, only by one who has a claim, and
 * only after a look at who else has one:
 *
 *   1. create a claim: an empty file whose name, which is nobody else's, says whose it is;
 *   2. list the folder: where another process that lives has a claim, delete one's own and start again a little later;
 *   3. read `.lock`: where its owner lives, give up; otherwise write oneself into it;
 *   4. delete the claim.
 *
 * Of any two that are between 1 and 4 at once, one made its claim later, and listed the folder after that: it saw the
 * other's claim and made way. So steps 3 and 4 are one process' alone, however many come at once and whoever had the
 * folder before: nobody can judge a lock to be stale, pause, and then remove the lock of one who came in between. What
 * is of another process is removed only when that is dead, which it then stays. Of the file system nothing is asked but
 * that what was created is listed, and that a rename replaces: no links, and no locks of its own.
 *
 * @returns what gives the folder back
 * @throws `BUSY` naming the process that holds it
 */
export async function lockStudy(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, ".lock");
  const here = await thisPlace();
  const self: Owner = { ...here, pid: process.pid, started: (await startOf(process.pid)) ?? "unknown" };
  const deadline = performance.now() + patience;
  for (let turn = 0; ; turn++) {
    await refuseHeld(path, folder, here);
    const claim = claimName(self);
    await (await open(join(folder, claim), "wx")).close();
    try {
      const other = await otherClaim(folder, claim, here);
      if (other === null) {
        await refuseHeld(path, folder, here);
        await writeJson(path, self);
        return () => release(path, self);
      }
      if (performance.now() > deadline) throw claimed(folder, other);
    } finally {
      await rm(join(folder, claim), { force: true });
    }
    // The waits grow, and differ: one of any number is soon alone.
    await sleep(Math.random() * Math.min(1000, 10 * 2 ** turn));
  }
}

/** Does work while this process holds a study's folder. An error of the work is told before one of giving it back. */
export async function whileLocked<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const unlock = await lockStudy(folder);
  let result: T;
  try {
    result = await work();
  } catch (error) {
    await unlock().catch(() => {}); // the lock of a process that has ended holds nobody up
    throw error;
  }
  await unlock();
  return result;
}

/** Removes the lock that this process holds; not another's, where somebody removed this one by hand. */
async function release(path: string, self: Owner): Promise<void> {
  if (JSON.stringify(await ownerIn(path)) === JSON.stringify(self)) await rm(path, { force: true });
}

/** @throws `BUSY` where a process that lives, or may live, holds the lock */
async function refuseHeld(path: string, folder: string, here: Place): Promise<void> {
  const owner = await ownerIn(path);
  if (owner === null) return;
  const state = await stateOfProcess(owner, here);
  if (state === "dead") return;
  const elsewhere = owner.host === here.host ? " in another container" : ` on ${describe(owner.host)}`;
  throw new TransferLimitsError(
    "BUSY",
    state === "alive"
      ? `Process ${owner.pid} already works in ${folder}.`
      : `Process ${owner.pid}${elsewhere}, whose end cannot be seen from here, already works in ${folder}. ` +
          `If it no longer runs there, delete ${path}`,
  );
}

/** Who holds the lock; null where nobody does: it is not there, or it is no lock. */
async function ownerIn(path: string): Promise<Owner | null> {
  try {
    return ownerSchema.parse(JSON.parse(await readRegularText(path, mostBytes)));
  } catch (error) {
    const { code } = error as { code?: unknown };
    const isNoLock = error instanceof SyntaxError || error instanceof z.ZodError || code === "BAD_FILE";
    if (isNoLock || code === "ENOENT" || code === "ELOOP") return null;
    throw error; // it may be a lock, which cannot be read
  }
}

const claimName = (owner: Owner): string =>
  `.lock-${placeHash(owner)}-${owner.pid}-${owner.started}-${randomUUID()}`;

/** The first claim of another process that lives, or may live. Removes what those left that are dead. */
async function otherClaim(folder: string, own: string, here: Place): Promise<string | null> {
  for (const name of await readdir(folder)) {
    if (!name.startsWith(".lock-") || name === own) continue;
    const parts = /^\.lock-([0-9a-f]{16})-(\d+)-(\w+)-[0-9a-f-]{36}$/.exec(name);
    if (parts === null) await rm(join(folder, name), { recursive: true, force: true });
    else {
      const [, place, pid, started] = parts;
      if (place !== placeHash(here) || (await lives(Number(pid), started as string))) return name;
      await rm(join(folder, name), { force: true });
    }
  }
  return null;
}

const claimed = (folder: string, claim: string): TransferLimitsError =>
  new TransferLimitsError(
    "BUSY",
    `Another process is about to work in ${folder} since ${patience / 1000} seconds. If none is, delete ` +
      join(folder, claim),
  );
