import { createHash } from "node:crypto";
import { type FileHandle, stat } from "node:fs/promises";
import { messageOf, TransferLimitsError } from "../../common/errors.js";
import { openRegularFile } from "../../common/regular-file.js";

/** A refusal of one file: `BAD_CHECKPOINT`, with the file's name and what is wrong with it. */
export type Refuse = (reason: string, cause?: unknown) => TransferLimitsError;

/**
 * A file of which ranges are read. It is opened anew for each range, so that nothing has to be closed; that it stays
 * the same file in between is checked by `unchanged`.
 */
export class OpenedFile {
  private constructor(
    readonly path: string,
    readonly size: number,
    private readonly identity: string,
  ) {}

  /** @throws `BAD_CHECKPOINT` where there is no such file, or it is none that can be read */
  static async open(path: string): Promise<OpenedFile> {
    try {
      const { file } = await openRegularFile(path);
      try {
        const status = await file.stat();
        return new OpenedFile(path, status.size, identityOf(status));
      } finally {
        await file.close();
      }
    } catch (error) {
      throw new TransferLimitsError("BAD_CHECKPOINT", `${path} cannot be opened: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  refuse: Refuse = (reason, cause) =>
    new TransferLimitsError("BAD_CHECKPOINT", `${this.path} is not a sound checkpoint: ${reason}`, { cause });

  /** Refuses a file that may well be sound, but isn't one that weights can be read from here. */
  unusable: Refuse = (reason, cause) =>
    new TransferLimitsError("BAD_CHECKPOINT", `No weights can be read from ${this.path}: ${reason}`, {
      cause,
    });

  /** `length` bytes from byte `offset` on. @throws `BAD_CHECKPOINT` where they do not all lie in the file */
  read(offset: number, length: number): Promise<Buffer> {
    return this.reading((read) => read(offset, length));
  }

  /** Many reads with the file opened once. */
  async reading<T>(
    work: (read: (offset: number, length: number) => Promise<Buffer>) => Promise<T>,
  ): Promise<T> {
    const file = await this.#handle();
    try {
      return await work(async (offset, length) => {
        if (offset < 0 || length < 0 || offset > this.size - length)
          throw this.refuse(`bytes ${offset} to ${offset + length} are asked for, but it has ${this.size}`);
        const bytes = Buffer.alloc(length);
        for (let done = 0; done < length; ) {
          const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
          if (bytesRead === 0) throw this.refuse(`it ended after ${offset + done} bytes while it was read`);
          done += bytesRead;
        }
        return bytes;
      });
    } finally {
      await file.close();
    }
  }

  /** SHA-256 of the whole file as hexadecimal digits, in little memory. */
  async sha256(): Promise<string> {
    const hash = createHash("sha256");
    const file = await this.#handle();
    try {
      // One chunk is read while the one before it is hashed. They are small enough that what else runs need not wait.
      const length = Math.min(Math.ceil(this.size / 2), 1 << 19);
      let free = Buffer.alloc(length);
      let reading = file.read(Buffer.alloc(length), 0, length, 0);
      for (let at = 0; at < this.size; ) {
        const { buffer, bytesRead } = await reading;
        if (bytesRead === 0) throw this.refuse(`it ended after ${at} bytes while it was read`);
        at += bytesRead;
        if (at < this.size) reading = file.read(free, 0, length, at);
        hash.update(buffer.subarray(0, bytesRead));
        free = buffer;
      }
      return hash.digest("hex");
    } finally {
      await file.close();
    }
  }

  /** @throws `BAD_CHECKPOINT` where the file is gone, or something else stands in its place */
  async #handle(): Promise<FileHandle> {
    try {
      return (await openRegularFile(this.path)).file;
    } catch (error) {
      throw this.refuse(`it was changed while it was read: ${messageOf(error)}`, error);
    }
  }

  /** @throws `BAD_CHECKPOINT` where the file is no longer the one that was opened */
  async unchanged(): Promise<void> {
    const now = await stat(this.path).then(identityOf, () => "gone");
    if (now !== this.identity) throw this.refuse("it was changed while it was read");
  }
}

const identityOf = (status: { ino: number; size: number; mtimeMs: number }): string =>
  [status.ino, status.size, status.mtimeMs].join(":");
