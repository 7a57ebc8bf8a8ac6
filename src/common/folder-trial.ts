import { randomUUID } from "node:crypto";
import { link, lstat, open, readdir, realpath, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { messageOf } from "./errors.js";
import { codedError } from "./system-errors.js";

/** What came of doing in a folder what a study does in its own. */
export type FolderTrial =
  | {
      usable: true;
      /** Where it was tried: the folder, or the nearest above it that is there. */
      tried: string;
      /** Files can have two names. Without, weights are copied. */
      hardLinks: boolean;
    }
  | { usable: false; tried: string; reason: string; error: unknown };

/**
 * Tries in a folder, or where it would be made, what a study needs of a file system: to create a file that was not there,
 * to bring it to the disk, to rename and to list it. Nothing of that stays.
 */
export async function tryFolder(folder: string): Promise<FolderTrial> {
  const [tried, fault] = await nearestFolder(folder);
  if (fault !== null) return { usable: false, tried, reason: fault, error: null };
  const names = [randomUUID(), randomUUID()].map((id) => `.${id}.partial`) as [string, string];
  const [first, second] = names.map((name) => join(tried, name)) as [string, string];
  try {
    const file = await open(first, "wx");
    try {
      await file.writeFile("tried");
      await file.sync();
    } finally {
      await file.close();
    }
    const hardLinks = await link(first, second).then(
      () => true,
      () => false,
    );
    await rename(first, second);
    if (!(await readdir(tried)).includes(names[1])) throw new Error("a file that was written is not listed");
    return { usable: true, tried, hardLinks };
  } catch (error) {
    return { usable: false, tried, reason: messageOf(error), error: codedError(error, tried) };
  } finally {
    for (const path of [first, second]) await rm(path, { force: true }).catch(() => {});
  }
}

/** The folder, or the nearest above it that is there; and why no folder can be made below that. */
async function nearestFolder(folder: string): Promise<[string, string | null]> {
  for (let path = folder; ; path = dirname(path)) {
    const own = await lstat(path).catch(() => null);
    if (own === null && path !== dirname(path)) continue;
    const found = await stat(path).catch(() => null);
    if (found?.isDirectory()) return [await realpath(path), null];
    const what = found === null && own?.isSymbolicLink() ? "a link that leads nowhere" : "no folder";
    return [path, `${path} is ${what}`];
  }
}
