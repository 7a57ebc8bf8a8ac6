import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { copyFile, link, lstat, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { codedError } from "./system-errors.js";

/**
 * Writes a file so that it is complete or absent: the bytes go to a temporary neighbour, reach the disk,
 * and only then take the name. Missing folders are made.
 *
 * @throws `DISK_FULL`, `BAD_FILE`
 */
export const writeFileAtomically = (path: string, contents: string | Uint8Array): Promise<void> =>
  completeFile(path, async (temporary) => {
    const file = await open(temporary, "wx");
    try {
      await file.writeFile(contents);
      await file.sync();
    } finally {
      await file.close();
    }
  });

/**
 * Gives a complete file, which will not be written to again, another name on the same disk: by a hard link, and where the
 * file system has none (FAT, many network shares), by a copy. What had the name before is replaced.
 *
 * @throws `DISK_FULL`, `BAD_FILE`
 */
export const linkOrCopy = (from: string, to: string): Promise<void> =>
  completeFile(to, async (temporary) => {
    try {
      await link(from, temporary);
    } catch {
      // Whatever spoke against the link: what speaks against the copy too says so.
      await copyFile(from, temporary, constants.COPYFILE_EXCL);
      const file = await open(temporary, "r+");
      try {
        await file.sync();
      } finally {
        await file.close();
      }
    }
  });

/** Has `make` make a temporary neighbour, which then takes the name; nothing of it stays where that fails. */
async function completeFile(path: string, make: (temporary: string) => Promise<void>): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, `.${randomUUID()}.partial`);
  try {
    await mkdir(folder, { recursive: true });
    await make(temporary);
    await rename(temporary, path);
  } catch (error) {
    throw codedError(error, path);
  } finally {
    // It is there still where something failed, or where a link was renamed to another name of the same file.
    await rm(temporary, { force: true }).catch(() => {});
  }
}

/** The names of temporary neighbours: of the files that are written here, and of tensors. */
const temporaryName = /^\.[0-9a-f]{8}-[0-9a-f-]{27}\.partial$|\.safetensors\.[0-9a-f]+\.partial$/;

/** Nothing is written for so long: a temporary file that is older is a killed process'. In milliseconds. */
const longestWriting = 60 * 60 * 1000;

/**
 * Removes the temporary files in a folder that killed processes left.
 *
 * @param writers "none" where it is certain that nobody writes there now; otherwise only old ones are removed
 */
export async function removeTemporaries(folder: string, writers: "none" | "others"): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    if (!temporaryName.test(name)) continue;
    const path = join(folder, name);
    const age = Date.now() - ((await lstat(path).catch(() => null))?.mtimeMs ?? Number.POSITIVE_INFINITY);
    if (writers === "none" || age > longestWriting) await rm(path, { force: true });
  }
}

/** JSON as every file of a study holds it: two spaces, a newline at the end, written atomically. */
export async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFileAtomically(path, `${JSON.stringify(value, null, 2)}\n`);
}
