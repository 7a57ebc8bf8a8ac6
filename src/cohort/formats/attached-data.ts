import { realpath, stat } from "node:fs/promises";
import { dirname, isAbsolute, relative, resolve } from "node:path";
import { describe, TransferLimitsError } from "../../common/errors.js";
import { openRegularFile } from "../../common/regular-file.js";
import { badImage, fileSystemReason, isAnnexed, pointerReason, reasonNotOpened } from "./bad-image.js";
import type { ByteLocation } from "./byte-source.js";

/** The most bytes that a text header may have. */
const longestHeader = 1 << 20;

/** No pointer to content that was not fetched is longer. */
const longestPointer = 1 << 15;

/** The first bytes of a file: as many as any text header may have, or `length`. */
export async function readPrefix(path: string, length: number = longestHeader): Promise<Buffer> {
  const { file, size } = await openRegularFile(path);
  try {
    const buffer = Buffer.alloc(Math.min(length, size));
    let filled = 0;
    while (filled < buffer.length) {
      const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return buffer.subarray(0, filled);
  } finally {
    await file.close();
  }
}

/**
 * Where a header's separate data file lies. It must be one regular file inside `root`, after symbolic links
 * too; one that is named elsewhere is not looked at, let alone opened.
 */
export async function locateDataFile(
  path: string,
  name: string,
  root: string,
): Promise<Pick<ByteLocation, "path" | "fileBytes">> {
  const data = resolve(dirname(path), name);
  if (name === "" || name.includes("\0")) throw badImage(path, "its header names no data file");
  if (!liesInside(resolve(root), data))
    throw badImage(
      path,
      `it refers to ${describe(name)}, which lies outside ${root}; an image may refer only to files inside it; ${widened}`,
    );
  try {
    const realRoot = await realpath(root).catch((error: unknown) => {
      throw badImage(
        path,
        `the folder ${root} of its data file cannot be read: ${fileSystemReason(error)}`,
        error,
      );
    });
    const realData = await realpath(data);
    if (!liesInside(realRoot, realData)) throw leadsOutside(path, name, realData, root);
    const found = await stat(realData);
    if (!found.isFile()) throw badImage(path, `its data file ${describe(name)} is not a regular file`);
    const pointer = found.size <= longestPointer ? pointerReason(data, await readPrefix(realData, 64)) : null;
    if (pointer !== null) throw badImage(path, `its data file ${describe(name)} cannot be read: ${pointer}`);
    return { path: realData, fileBytes: found.size };
  } catch (error) {
    if (error instanceof TransferLimitsError) throw error;
    const reason = await reasonNotOpened(data, error);
    throw badImage(path, `its data file ${describe(name)} cannot be read: ${reason}`, error);
  }
}

const widened =
  "if both are yours, name a folder that holds both: cohort.images.root of the study, --root of inspect and embed, root of readImage";

function leadsOutside(path: string, name: string, target: string, root: string): TransferLimitsError {
  const annex = isAnnexed(target)
    ? `git-annex (DataLad) keeps content there: put the file itself in its place (datalad unlock ${name}, or git annex unlock ${name}); or, `
    : "";
  return badImage(
    path,
    `its data file ${describe(name)} is a link to ${target}, which lies outside ${root}; an image may refer only to files inside it; ${annex}${widened}`,
  );
}

function liesInside(folder: string, file: string): boolean {
  const way = relative(folder, file);
  return way !== "" && way !== ".." && !way.startsWith("../") && !isAbsolute(way);
}
