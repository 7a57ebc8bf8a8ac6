import { pipeline } from "node:stream";
import { createUnzip } from "node:zlib";
import { openRegularFile } from "../../common/regular-file.js";
import { badImage, fileSystemReason } from "./bad-image.js";

/** What is read or decompressed at a time: large, so that few hand-overs between threads stand between the chunks. */
const chunkBytes = 1 << 20;

/** The same where only a file's beginning is wanted: no more than that should be decompressed for it. */
const smallChunkBytes = 1 << 12;

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
 * Reads a file from front to back, decompressing on the way. Never holds more than a chunk beyond what was
 * asked for, so a file that inflates without end costs nothing.
 */
export class ByteSource {
  readonly #chunks: AsyncGenerator<Buffer>;
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
    this.#chunks = chunksOf(location, chunkSize);
  }

  /** Up to `length` bytes: fewer only where the source ends. */
  async readUpTo(length: number): Promise<Buffer> {
    const target = Buffer.alloc(length);
    return target.subarray(0, await this.#fill(target, length));
  }

  /** Fills `target`, or refuses the file as truncated: by its message, `target` begins at byte `first` of `total`. */
  async readInto(
    target: Uint8Array,
    what: string,
    { first, total } = { first: 0, total: target.byteLength },
  ): Promise<void> {
    const found = await this.#fill(target, target.byteLength);
    if (found < target.byteLength) this.#requireAll(first + found, total, what);
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

  async close(): Promise<void> {
    await this.#chunks.return(undefined);
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
      const result = await this.#chunks.next();
      return result.done ? undefined : result.value;
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      const reason =
        code === "Z_BUF_ERROR"
          ? `it is truncated: the compressed data end early, after ${this.#delivered.toLocaleString("en")} bytes`
          : code === "Z_DATA_ERROR"
            ? `its compressed data are damaged (${fileSystemReason(error)})`
            : fileSystemReason(error);
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

/** A file's bytes, decompressed; the file is open from the first chunk that is asked for to the last, or to `return`. */
async function* chunksOf(location: ByteLocation, chunkSize: number): AsyncGenerator<Buffer> {
  const { file: handle } = await openRegularFile(location.path);
  const file = handle.createReadStream({ start: location.start, highWaterMark: chunkSize });
  // A failure reaches the reader through the last stream of the pipeline; the callback has nothing to add.
  const output = location.compressed ? pipeline(file, createUnzip({ chunkSize }), () => {}) : file;
  try {
    yield* output as AsyncIterable<Buffer>;
  } finally {
    output.destroy();
    file.destroy();
    await handle.close().catch(() => {}); // the stream may have closed it
  }
}
