import { open, realpath, stat } from "node:fs/promises";
import { dirname, isAbsolute, relative, resolve } from "node:path";
import { describe } from "../../common/errors.js";
import { badImage, fileSystemReason } from "./bad-image.js";
import { type ByteLocation, ByteSource, requirePlausibleSize } from "./byte-source.js";

/** The most bytes that a text header may have. */
const longestHeader = 1 << 20;

/** The first bytes of a file: as many as any text header may have, or `length`. */
export async function readPrefix(path: string, length: number = longestHeader): Promise<Buffer> {
  const file = await open(path, "r");
  try {
    const buffer = Buffer.alloc(length);
    let filled = 0;
    while (filled < length) {
      const { bytesRead } = await file.read(buffer, filled, length - filled, filled);
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
  const outside = () =>
    badImage(
      path,
      `it refers to ${describe(name)}, which lies outside ${root}; an image may refer only to files inside it`,
    );
  if (name === "" || name.includes("\0")) throw badImage(path, "its header names no data file");
  if (!liesInside(resolve(root), data)) throw outside();
  try {
    const [realRoot, realData] = await Promise.all([realpath(root), realpath(data)]);
    if (!liesInside(realRoot, realData)) throw outside();
    const found = await stat(realData);
    if (!found.isFile()) throw badImage(path, `its data file ${describe(name)} is not a regular file`);
    return { path: realData, fileBytes: found.size };
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "BAD_IMAGE") throw error;
    throw badImage(path, `its data file ${describe(name)} cannot be read: ${fileSystemReason(error)}`, error);
  }
}

function liesInside(folder: string, file: string): boolean {
  const way = relative(folder, file);
  return way !== "" && way !== ".." && !way.startsWith("../") && !isAbsolute(way);
}

/** A canonical header followed by exactly `wanted` bytes of voxels from `location`, decompressed. */
export async function attachVoxels(
  reported: string,
  header: string,
  location: ByteLocation,
  wanted: number,
): Promise<Uint8Array> {
  requirePlausibleSize(location, wanted, reported);
  const head = Buffer.from(header, "latin1");
  const bytes = new Uint8Array(head.length + wanted);
  bytes.set(head);
  const source = new ByteSource(location, { reported });
  try {
    await source.readInto(bytes.subarray(head.length), "the voxels");
    await source.finish();
  } finally {
    source.close();
  }
  return bytes;
}
