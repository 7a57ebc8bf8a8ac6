import { closeSync, constants, fstatSync, openSync, readFileSync, type Stats } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { TransferLimitsError } from "./errors.js";

/** Far more than any list, table or JSON of a study has: a larger file is something else. */
export const mostTextBytes = 512 * 1024 * 1024;

/** Without O_NONBLOCK the open itself waits for a pipe's writer. For regular files it changes nothing. */
const withoutWaiting = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

/** A file that was opened, and how large it was then. */
export interface OpenFile {
  file: FileHandle;
  size: number;
}

/**
 * Opens a file to read. Only a regular one: a pipe in its place would be waited for without end, and a device can do
 * anything. Links are followed. Whoever calls it closes the file.
 *
 * @throws the system's error (`ENOENT`, ...) where it cannot be opened; `BAD_FILE` where it is no regular file
 */
export async function openRegularFile(path: string): Promise<OpenFile> {
  let file: FileHandle;
  try {
    file = await open(path, withoutWaiting);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENXIO") throw notRegular(path, "a socket or a device");
    throw error;
  }
  try {
    const status = await file.stat();
    if (status.isFile()) return { file, size: status.size };
    throw notRegular(path, kindOf(status));
  } catch (error) {
    await file.close();
    throw error;
  }
}

/**
 * Reads a whole file, which must be a regular one of at most `limit` bytes.
 *
 * @param mend what to do about a larger one, for the end of its refusal
 * @throws as `openRegularFile`; `BAD_FILE` where it is larger
 */
export async function readRegularFile(
  path: string,
  limit: number = mostTextBytes,
  mend?: string,
): Promise<Buffer> {
  const { file, size } = await openRegularFile(path);
  try {
    if (size > limit) throw tooLarge(path, size, limit, mend);
    const bytes = await readAtMost(file, size, limit);
    if (bytes === null) throw tooLarge(path, limit + 1, limit, mend);
    return bytes;
  } finally {
    await file.close();
  }
}

/** The same as text in UTF-8; bytes that are none become U+FFFD. */
export const readRegularText = async (path: string, limit: number = mostTextBytes): Promise<string> =>
  (await readRegularFile(path, limit)).toString("utf8");

/**
 * As `readRegularFile`, at once: for the few files that are read before anything else can be done.
 *
 * @throws as `readRegularFile`; the file must not grow while it is read
 */
export function readRegularFileSync(path: string, limit: number = mostTextBytes): Buffer {
  const file = openSync(path, withoutWaiting);
  try {
    const status = fstatSync(file);
    if (!status.isFile()) throw notRegular(path, kindOf(status));
    if (status.size > limit) throw tooLarge(path, status.size, limit);
    return readFileSync(file);
  } finally {
    closeSync(file);
  }
}

/** All bytes of a file; null where there are more than `limit`. Files of /proc say that they are empty and are not. */
async function readAtMost(file: FileHandle, size: number, limit: number): Promise<Buffer | null> {
  let bytes = Buffer.allocUnsafeSlow(Math.min(size, limit) + 1);
  let filled = 0;
  for (;;) {
    const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, null);
    filled += bytesRead;
    if (filled > limit) return null;
    if (bytesRead === 0) return bytes.subarray(0, filled);
    if (filled === bytes.length) bytes = Buffer.concat([bytes], 2 * filled + 4096);
  }
}

const kindOf = (status: Stats): string =>
  status.isDirectory() ? "a folder" : status.isFIFO() ? "a pipe (FIFO)" : "a device";

const notRegular = (path: string, kind: string): TransferLimitsError =>
  new TransferLimitsError(
    "BAD_FILE",
    `${path} cannot be read: it is not a regular file but ${kind}. Remove it, or name another file`,
  );

const tooLarge = (path: string, size: number, limit: number, mend?: string): TransferLimitsError =>
  new TransferLimitsError(
    "BAD_FILE",
    `${path} cannot be read: expected a file of at most ${limit.toLocaleString("en")} bytes but it has ` +
      `${size.toLocaleString("en")}${size === limit + 1 ? " or more" : ""}${mend ? `; ${mend}` : ""}`,
  );
