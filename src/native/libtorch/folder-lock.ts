import { mkdir, rm, stat, utimes } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

/** A lock whose owner has not touched it for so long is a dead process's. */
const staleAfter = 60_000;
const heartbeat = 5_000;

/**
 * Runs `work` while this process holds the lock folder `path`; waits while another holds it. The owner touches the
 * folder every few seconds, so a lock that a killed process left behind is taken over, whichever host it ran on.
 * The lock saves work; what it guards must still come to no harm without it.
 */
export async function withFolderLock<T>(
  path: string,
  onWait: () => void,
  work: () => Promise<T>,
): Promise<T> {
  for (let waits = 0; !(await take(path)); waits++) {
    if (waits === 0) onWait();
    await sleep(500);
  }
  const timer = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => {}); // taken over by another: nothing to keep alive
  }, heartbeat);
  try {
    return await work();
  } finally {
    clearInterval(timer);
    await rm(path, { recursive: true, force: true });
  }
}

async function take(path: string): Promise<boolean> {
  try {
    await mkdir(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  const touched = await stat(path).catch(() => null);
  if (touched && Date.now() - touched.mtimeMs > staleAfter) await rm(path, { recursive: true, force: true });
  return false;
}
