import { createHash } from "node:crypto";
import { appendFile, mkdir, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { z } from "zod";
import { sealFile, sha256OfText, stateOfSealed } from "../common/checksums.js";
import { TransferLimitsError } from "../common/errors.js";
import { readRegularText } from "../common/regular-file.js";
import { type OnDamage, setAside } from "../common/set-aside.js";
import { codedError } from "../common/system-errors.js";
import { readSafetensors, writeSafetensors } from "../native/safetensors.js";
import type { Tensor } from "../native/tensor.js";
import type { VolumeRole } from "./columns.js";
import { locateDataFile, readPrefix } from "./formats/attached-data.js";
import { hasTextHeader } from "./formats/open-image.js";
import type { Image } from "./image.js";

/** Raised whenever the same originals and options would give other voxels: entries of before are then never found. */
const formatVersion = "transfer-limits/prepared@4";

const fileStateSchema = z.object({
  path: z.string(),
  size: z.number(),
  /** Nanoseconds since 1970, and the inode, as decimal text: both exceed what a JSON number holds exactly. */
  modified: z.string(),
  inode: z.string(),
});
/** What the file system says about a file without opening it. */
export type FileState = z.infer<typeof fileStateSchema>;

const recordSchema = z.object({
  path: z.string(),
  /** The image's file, and the data file that its header names. */
  files: z.array(fileStateSchema).min(1),
  content: z.string().regex(/^[0-9a-f]{64}$/),
});

const metadataSchema = z.object({
  format: z.literal(formatVersion),
  key: z.string(),
  volumes: z.array(z.string()),
  /** Masks without a voxel in the crop. An entry that does not say is made anew. */
  emptyMasks: z.array(z.string()),
  /** Masks that were between 0 and 1 in their file. */
  gradedMasks: z.array(z.string()),
  /** By mask whose volume a label follows from, that of each of its labels in the file, in mm³. */
  maskVolumes: z.record(z.string(), z.record(z.string(), z.number())),
  spacing: z.tuple([z.number(), z.number(), z.number()]),
  voxelToPatient: z.array(z.number()).length(16),
});

/** What an entry says about itself. */
export type EntryMetadata = z.infer<typeof metadataSchema>;

/**
 * Preprocessed volumes on disk, named after what they were made from: SHA-256 over the format's version, the options and
 * the content of each original. So that a run need not read the originals to know their content, `originals.jsonl`
 * keeps what was found for each, together with size, time of change and inode: while those stay, the content is
 * taken to be the same.
 *
 * Several processes may share a folder: entries appear atomically, and the index only ever grows by whole lines.
 */
export class VolumeCache {
  readonly folder: string;
  readonly #known: Map<string, z.infer<typeof recordSchema>>;

  private constructor(folder: string, known: Map<string, z.infer<typeof recordSchema>>) {
    this.folder = folder;
    this.#known = known;
  }

  /** Opens the cache in a folder, which is made where it is missing; with `make: false` nothing is written. */
  static async open(folder: string, { make = true }: { make?: boolean } = {}): Promise<VolumeCache> {
    const place = resolve(folder);
    if (make) await mkdir(place, { recursive: true });
    const known = new Map<string, z.infer<typeof recordSchema>>();
    for (const line of (await textOf(join(place, "originals.jsonl"))).split("\n")) {
      const record = recordSchema.safeParse(parseJson(line)); // a line that a crash tore is passed over
      if (record.success) known.set(record.data.path, record.data);
    }
    return new VolumeCache(place, known);
  }

  /** The content of an original that was read before and has not changed since; null where that is not known. */
  async contentOf(path: string): Promise<string | null> {
    const record = this.#known.get(path);
    if (!record) return null;
    for (const before of record.files) if (!sameState(before, await stateOf(before.path))) return null;
    return record.content;
  }

  /** Keeps the content of an original that lay in `files` when it was read. */
  async remember(path: string, files: FileState[], content: string): Promise<void> {
    const record = { path, files, content };
    this.#known.set(path, record);
    // The newline in front ends a line that a crash may have torn.
    const index = join(this.folder, "originals.jsonl");
    try {
      await appendFile(index, `\n${JSON.stringify(record)}\n`);
    } catch (error) {
      throw codedError(error, index);
    }
  }

  /** The file of an entry, whether it is there or not. */
  pathOf(key: string): string {
    return join(this.folder, `${key}.safetensors`);
  }

  /**
   * As `find`, but the entry's contents are compared with its checksum too. One that is damaged is set aside within the
   * cache's folder, and counts as absent.
   */
  async findSound(key: string, shape: readonly number[], onDamage: OnDamage): Promise<EntryMetadata | null> {
    const path = this.pathOf(key);
    const state = await stateOfSealed(path);
    if (state === "damaged") onDamage(await setAside(this.folder, path, "its checksum differs"));
    return state === "sound" ? this.find(key, shape) : null;
  }

  /** What a complete entry says about itself; null where there is none. Its voxels are not looked at. */
  async find(key: string, shape: readonly number[]): Promise<EntryMetadata | null> {
    const file = await readSafetensors(this.pathOf(key)).catch((error: unknown) => {
      if (error instanceof TransferLimitsError && error.code === "BAD_CHECKPOINT") return null;
      throw error;
    });
    const metadata = metadataSchema.safeParse(parseJson(file?.metadata.entry ?? ""));
    if (file === null || !metadata.success || metadata.data.key !== key) return null;
    const { volumes } = metadata.data;
    const complete =
      file.names.length === volumes.length &&
      volumes.every((role) => file.names.includes(role) && file.shape(role).join() === shape.join());
    return complete ? metadata.data : null;
  }

  /** Writes an entry: complete or absent. */
  async write(
    metadata: Omit<EntryMetadata, "format">,
    tensors: Readonly<Record<VolumeRole, Tensor>>,
  ): Promise<void> {
    const entry = JSON.stringify({ format: formatVersion, ...metadata });
    const path = this.pathOf(metadata.key);
    await writeSafetensors(path, tensors, { entry });
    await sealFile(path);
  }
}

/** The name of an entry. `options` must be the same text for the same options; `roles` are all that a case may have. */
export function entryKey(
  options: string,
  roles: readonly VolumeRole[],
  contents: Readonly<Record<VolumeRole, string>>,
): string {
  const parts = roles.map((role) => [role, contents[role] ?? null]);
  return sha256OfText(JSON.stringify([formatVersion, options, parts]));
}

/** The content of an image: SHA-256 over its grid and its voxels, however they are stored. */
export function contentHash({ shape, voxelToPatient, data }: Image): string {
  return createHash("sha256")
    .update(JSON.stringify([shape, voxelToPatient]))
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    .digest("hex");
}

/**
 * The state of the files that an image lies in: its own, and the data file that a MetaImage or NRRD header names. Null
 * for what is missing. `root`: as for `readImage`.
 */
export async function statesOf(path: string, root?: string): Promise<(FileState | null)[]> {
  const own = await stateOf(path);
  if (own === null) return [null];
  const data = await dataFileOf(path, root ?? dirname(path));
  return data === null ? [own] : [own, await stateOf(data)];
}

export const sameStates = (
  before: (FileState | null)[],
  after: (FileState | null)[],
): before is FileState[] =>
  before.length === after.length && before.every((state, index) => sameState(state, after[index] ?? null));

function sameState(a: FileState | null, b: FileState | null): boolean {
  return (
    a !== null &&
    b !== null &&
    a.path === b.path &&
    a.size === b.size &&
    a.modified === b.modified &&
    a.inode === b.inode
  );
}

async function stateOf(path: string): Promise<FileState | null> {
  try {
    const { size, mtimeNs, ino } = await stat(path, { bigint: true });
    return { path, size: Number(size), modified: String(mtimeNs), inode: String(ino) };
  } catch {
    return null; // reading the image says why
  }
}

/** The separate data file of a text header, where it is one that may be read. */
async function dataFileOf(path: string, root: string): Promise<string | null> {
  try {
    if (!(await hasTextHeader(path))) return null;
    const header = (await readPrefix(path)).toString("utf8");
    const name = /^(?:ElementDataFile[ \t]*=|data ?file:)(.*)$/im.exec(header)?.[1]?.trim();
    if (!name || /^local$/i.test(name)) return null;
    return (await locateDataFile(path, name, root)).path;
  } catch {
    return null; // reading the image says why
  }
}

async function textOf(path: string): Promise<string> {
  try {
    return await readRegularText(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
