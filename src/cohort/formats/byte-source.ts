import { createReadStream } from "node:fs";
import { pipeline } from "node:stream";
import { createUnzip } from "node:zlib";
import { messageOf } from "../../common/errors.js";
import { badImage } from "./bad-image.js";

/** What is read or decompressed at a time: large, so that few hand-overs between threads stand between the chunks. */
const chunkBytes = 1 << 20;

/** The same where only a file's beginning is wanted: no more than that should be decompressed for it. */
const smallChunkBytes = 1 << 12;

/** Deflate cannot expand a byte into more than this many: what a compressed file can hold at the very most. */
export const largestExpansion = 1032;

/** Bytes that may follow the voxels (padding that some writers leave) before the file is refused. */
const tolerableTail = 1 << 20;

/** Where the bytes of an image lie: a file, from an offset on, compressed (gzip or zlib) or not. */
export interface ByteLocation {
  path: string;
  /** Size of the file on disk. */
  fileBytes: number;
  /** First byte in the file. */
  start: number;
  compressed: boolean;
}

/**
 * Refuses, before anything is allocated, a header that claims more bytes than the file can hold.
 * `reported` is the file that the message names (the header's).
 */
export function requirePlausibleSize(location: ByteLocation, wanted: number, reported: string): void {
  const stored = Math.max(location.fileBytes - location.start, 0);
  const possible = location.compressed ? stored * largestExpansion : stored;
  if (wanted <= possible) return;
  const found =
    stored === 0 ? "holds none (a header without voxels)" : `holds ${stored.toLocaleString("en")}`;
  throw badImage(
    reported,
    `its header promises ${wanted.toLocaleString("en")} bytes, but ` +
      `${location.path === reported ? "the file" : location.path} ${found}` +
      `${location.compressed ? " compressed ones, too few for that many" : ""}; it is truncated or damaged`,
  );
}

/**
 * Reads a file from front to back, decompressing on the way. Never holds more than a chunk beyond what was
 * asked for, so a file that inflates without end costs nothing.
 */
export class ByteSource {
  readonly #iterator: AsyncIterator<Buffer>;
  readonly #close: () => void;
  readonly #path: string;
  #rest: Buffer = Buffer.alloc(0);
  #delivered = 0;

  /**
   * `reported` is the file that messages name, where it is not the file that is read; `extent` says how much of it will
   * be asked for.
   */
  constructor(
    location: ByteLocation,
    { reported = location.path, extent = "all" }: { reported?: string; extent?: "all" | "beginning" } = {},
  ) {
    this.#path = reported;
    const chunkSize = extent === "all" ? chunkBytes : smallChunkBytes;
    const file = createReadStream(location.path, { start: location.start, highWaterMark: chunkSize });
    // A failure reaches the reader through the last stream of the pipeline; the callback has nothing to add.
    const output = location.compressed ? pipeline(file, createUnzip({ chunkSize }), () => {}) : file;
    this.#iterator = output[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    this.#close = () => {
      file.destroy();
      output.destroy();
    };
  }

  /** Up to `length` bytes: fewer only where the source ends. */
  async readUpTo(length: number): Promise<Buffer> {
    const target = Buffer.alloc(length);
    return target.subarray(0, await this.#fill(target, length));
  }

  /** Fills `target`, or refuses the file as truncated. */
  async readInto(target: Uint8Array, what: string): Promise<void> {
    this.#requireAll(await this.#fill(target, target.byteLength), target.byteLength, what);
  }

  /** Passes over `length` bytes, or refuses the file as truncated. */
  async skip(length: number, what: string): Promise<void> {
    this.#requireAll(await this.#fill(undefined, length), length, what);
  }

  /** Reads on to the end, so that checksums are checked; refuses a file that holds much more than expected. */
  async finish(): Promise<void> {
    const extra = await this.#fill(undefined, tolerableTail + 1);
    if (extra > tolerableTail)
      throw badImage(
        this.#path,
        `it goes on after the ${this.#delivered - extra} bytes that its header promises`,
      );
  }

  close(): void {
    this.#close();
  }

  async #fill(target: Uint8Array | undefined, length: number): Promise<number> {
    let filled = 0;
    while (filled < length) {
      if (this.#rest.length === 0) {
        const next = await this.#next();
        if (next === undefined) break;
        this.#rest = next;
      }
      const part = this.#rest.subarray(0, length - filled);
      target?.set(part, filled);
      this.#rest = this.#rest.subarray(part.length);
      filled += part.length;
      this.#delivered += part.length;
    }
    return filled;
  }

  async #next(): Promise<Buffer | undefined> {
    try {
      const result = await this.#iterator.next();
      return result.done ? undefined : result.value;
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      const reason =
        code === "Z_BUF_ERROR"
          ? `it is truncated: the compressed data end early, after ${this.#delivered.toLocaleString("en")} bytes`
          : code === "Z_DATA_ERROR"
            ? `its compressed data are damaged (${messageOf(error)})`
            : messageOf(error);
      throw badImage(this.#path, reason, error);
    }
  }

  #requireAll(found: number, wanted: number, what: string): void {
    if (found === wanted) return;
    throw badImage(
      this.#path,
      `it is truncated: ${what} should be ${wanted.toLocaleString("en")} bytes, ` +
        `but only ${found.toLocaleString("en")} are there`,
    );
  }
}
