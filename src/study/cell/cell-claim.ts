import { randomUUID } from "node:crypto";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { removeTemporaries } from "../../common/atomic-file.js";
import { type Holder, Lock, type LockWatch } from "../../common/lock.js";
import { namesIn } from "../../common/names-in.js";
import { studyPaths } from "../../results/paths.js";

/*
 * Why a cell is never done twice, whoever is killed, frozen or cut off from the disk while working on it. Who claims a cell
 * first moves away what others had under way, and only then looks whether the cell is finished. Who finishes it asks
 * whether the claim is still its own, and only then renames what it has under way, which it made before it asked. So where
 * another claimed the cell after that question, it either moved the work away first, and the rename finds nothing; or the
 * rename came first, and the other finds the cell finished. States of training are kept in a folder that carries the number
 * of the claim, and is renamed by the next: one that was passed over can write no state that anybody reads, and it touches
 * nothing of those with higher numbers.
 */

/** A cell that this process works on, and nobody else. */
export class CellClaim {
  readonly #work: string;

  private constructor(
    /** The study's folder. */
    readonly folder: string,
    readonly id: string,
    readonly lock: Lock,
  ) {
    this.#work = join(lock.path, `work-${lock.turn}`);
  }

  /** Takes a cell's lock where nobody holds it; otherwise who does. */
  static async take(folder: string, id: string, watch: LockWatch): Promise<CellClaim | Holder> {
    await mkdir(dirname(watch.path), { recursive: true });
    const lock = await watch.take();
    if (!(lock instanceof Lock)) return lock;
    const claim = new CellClaim(folder, id, lock);
    try {
      await claim.#moveOthersAway();
      await claim.#adoptProgress();
      return claim;
    } catch (error) {
      await lock.release().catch(() => {});
      throw error;
    }
  }

  /** Where the state of the cell's training is kept. */
  get progress(): string {
    return join(studyPaths(this.folder).progress(this.id), String(this.lock.turn));
  }

  /**
   * Gives a file or a folder its name in one step, unless another has claimed the cell.
   *
   * @param fill makes it under a name that nobody else reads
   * @throws `TAKEN_OVER`
   */
  async publish(path: string, fill: (partial: string) => Promise<void>): Promise<void> {
    const partial = join(this.#work, "partial");
    try {
      await rm(this.#work, { recursive: true, force: true });
      await mkdir(this.#work);
      await fill(partial);
      await this.lock.requireHeld();
      await rename(partial, path);
    } catch (error) {
      await this.lock.requireHeld(); // otherwise this is the reason
      throw error;
    } finally {
      await rm(this.#work, { recursive: true, force: true }).catch(() => {});
    }
  }

  release(): Promise<void> {
    return this.lock.release();
  }

  async #moveOthersAway(): Promise<void> {
    const { path, turn } = this.lock;
    for (const name of await readdir(path)) {
      const [, of] = /^work-(\d+)$/.exec(name) ?? [];
      if (of !== undefined && Number(of) >= turn) continue;
      if (of === undefined && !name.startsWith("left-")) continue;
      // A folder that is being emptied must not be taken for one that is complete: it first gets another name.
      const left = join(path, `left-${randomUUID()}`);
      await rename(join(path, name), left).catch(orAbsent);
      await rm(left, { recursive: true, force: true });
    }
  }

  async #adoptProgress(): Promise<void> {
    const all = studyPaths(this.folder).progress(this.id);
    const [last, ...older] = (await turnsOf(this.folder, this.id)).filter((turn) => turn < this.lock.turn);
    if (last === undefined) return;
    await rename(join(all, String(last)), this.progress).catch(orAbsent);
    await removeTemporaries(this.progress, "none");
    for (const turn of older) await rm(join(all, String(turn)), { recursive: true, force: true });
  }
}

/** Where the state of a training lies that is not finished; where it would lie, if there is none. */
export const progressOf = async (folder: string, id: string): Promise<string> =>
  join(studyPaths(folder).progress(id), String((await turnsOf(folder, id))[0] ?? 0));

/** The numbers of claims that have a state of training, the last first. */
const turnsOf = async (folder: string, id: string): Promise<number[]> =>
  (await namesIn(studyPaths(folder).progress(id)))
    .filter((name) => /^\d{1,15}$/.test(name))
    .map(Number)
    .sort((a, b) => b - a);

const orAbsent = (error: NodeJS.ErrnoException): void => {
  if (error.code !== "ENOENT") throw error;
};
