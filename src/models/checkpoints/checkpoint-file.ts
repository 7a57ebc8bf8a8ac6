import { createHash } from "node:crypto";
import { requirePath } from "../../common/arguments.js";
import { describe, messageOf, TransferLimitsError } from "../../common/errors.js";
import { readSafetensors } from "../../native/safetensors.js";
import { loadStored, type StoredTensor, type StoredType, storedTypes } from "../../native/stored-tensor.js";
import type { Tensor } from "../../native/tensor.js";
import { OpenedFile } from "./opened-file.js";
import { readSafetensorsShards } from "./safetensors-shards.js";
import { findStates, type Plain, plainDataOf } from "./state-dict.js";
import { readTorchLegacy, readTorchZip, type TorchFile } from "./torch-files.js";

export type CheckpointFormat = "PyTorch zip" | "PyTorch legacy" | "safetensors" | "sharded safetensors";

/** A file of weights whose description is checked; tensors are read when they are asked for. */
export interface CheckpointFile {
  readonly path: string;
  readonly format: CheckpointFormat;
  /** Of all its files together. */
  readonly bytes: number;
  /** Where in the file the weights lie, as keys joined by dots: `"model"`; empty where they are all there is. */
  readonly state: string;
  /** Other dictionaries of tensors in the file, such as those of an optimiser. */
  readonly besides: { readonly state: string; readonly tensors: number }[];
  /** What stands beside the tensors, such as the epoch, as plain data. */
  readonly metadata: { readonly [key: string]: Plain };
  /** The names of the weights, in the order of the file. */
  readonly names: readonly string[];
  /** Type and shape of a tensor, without reading it. */
  info(name: string): { dtype: StoredType; shape: number[] };
  /** Where a tensor lies. */
  stored(name: string): StoredTensor;
  /** Reads a tensor. The caller disposes it. */
  tensor(name: string, device?: string): Promise<Tensor>;
  /** Each file's SHA-256 as hexadecimal digits; of several files, that of their list as `sha256sum` prints it. */
  sha256(): Promise<string>;
  /** @throws `BAD_CHECKPOINT` where a file is no longer the one that was opened */
  unchanged(): Promise<void>;
}

/**
 * Opens a file of weights: PyTorch's zip format or the one before version 1.6, safetensors, or the index of sharded
 * safetensors. What it is, is told by its bytes and not by its name. Nothing in it is run, no tensor is read, and every
 * size it claims is checked against the file first.
 *
 * @throws `BAD_CHECKPOINT` with the file and what is wrong with it
 */
export async function openCheckpoint(path: string): Promise<CheckpointFile> {
  requirePath(path, "path");
  const file = await OpenedFile.open(path);
  try {
    return await openAs(file);
  } catch (error) {
    if (error instanceof TransferLimitsError) throw error;
    // Memory ran out, or a mistake of ours: whatever a file does, it is refused and nothing else stops.
    throw file.refuse(`it could not be read: ${messageOf(error)}`, error);
  }
}

async function openAs(file: OpenedFile): Promise<CheckpointFile> {
  if (file.size === 0) throw file.refuse("it is empty");
  const start = await file.read(0, Math.min(file.size, 512));
  // Safetensors begins with the length of its header, whose bytes may look like any other format's first ones.
  if (start.length > 8 && start.readUInt32LE(4) === 0 && start[8] === 0x7b) return ofSafetensors(file);
  if (start.subarray(0, 4).equals(zipMagic)) return ofTorch(file, "PyTorch zip", await readTorchZip(file));
  if (start[0] === 0x80) return ofTorch(file, "PyTorch legacy", await readTorchLegacy(file));
  if (start[0] === 0x7b) return ofShards(file);
  if (start[8] === 0x7b) return ofSafetensors(file); // which refuses the length that the header claims
  throw file.refuse(`${knownAs(start)}. Expected a file of PyTorch (torch.save) or safetensors`);
}

const zipMagic = Buffer.from("PK\x03\x04", "latin1");

/** What a file is that is no checkpoint, from its first bytes. */
function knownAs(start: Buffer): string {
  const begins = (magic: string, at = 0) => start.subarray(at).toString("latin1").startsWith(magic);
  if (begins("version https://git-lfs"))
    return "it is a pointer of Git LFS, not the file itself: run git lfs pull";
  if (begins("ustar", 257)) return "it is a tar archive: unpack it";
  if (begins("\x1f\x8b")) return "it is compressed with gzip: decompress it";
  if (begins("\x89HDF")) return "it is an HDF5 file, as Keras writes";
  if (begins("\x93NUMPY")) return "it is an array of NumPy";
  if (begins("<")) return "it is a web page, perhaps an error message that was saved in place of a download";
  if ([...start].every((byte) => (byte >= 0x20 && byte < 0x7f) || byte === 9 || byte === 10 || byte === 13))
    return `it is text and begins with ${JSON.stringify(start.subarray(0, 40).toString("latin1"))}`;
  return `it begins with the bytes ${start.subarray(0, 8).toString("hex")}`;
}

function ofTorch(file: OpenedFile, format: CheckpointFormat, torch: TorchFile): CheckpointFile {
  const [state, ...others] = findStates(torch.value);
  if (state === undefined)
    throw file.refuse("it holds no tensors by name. Save the state_dict() with torch.save");
  const tensors = new Map<string, StoredTensor>();
  for (const [name, { storage, dtype, offset, shape, strides }] of state.tensors) {
    const start = torch.place(storage) + offset * storedTypes[dtype];
    tensors.set(name, {
      path: file.path,
      offset: start,
      dtype,
      shape,
      strides,
      littleEndian: torch.littleEndian,
    });
  }
  return ofTensors(file.path, tensors, {
    format,
    bytes: file.size,
    state: state.path,
    besides: others.map(({ path, tensors: { size } }) => ({ state: path, tensors: size })),
    metadata: plainDataOf(torch.value),
    sha256: () => file.sha256(),
    unchanged: () => file.unchanged(),
  });
}

async function ofSafetensors(file: OpenedFile): Promise<CheckpointFile> {
  const { names, stored, metadata } = await readSafetensors(file.path);
  return ofTensors(file.path, new Map(names.map((name) => [name, stored(name)])), {
    format: "safetensors",
    bytes: file.size,
    state: "",
    besides: [],
    metadata,
    sha256: () => file.sha256(),
    unchanged: () => file.unchanged(),
  });
}

async function ofShards(file: OpenedFile): Promise<CheckpointFile> {
  const { tensors, files, metadata } = await readSafetensorsShards(file);
  return ofTensors(file.path, tensors, {
    format: "sharded safetensors",
    bytes: files.reduce((sum, { size }) => sum + size, 0),
    state: "",
    besides: [],
    metadata,
    sha256: async () => {
      const hash = createHash("sha256");
      for (const one of files) hash.update(`${await one.sha256()}  ${one.name}\n`);
      return hash.digest("hex");
    },
    unchanged: async () => {
      for (const one of files) await one.unchanged();
    },
  });
}

function ofTensors(
  path: string,
  tensors: ReadonlyMap<string, StoredTensor>,
  rest: Pick<CheckpointFile, "format" | "bytes" | "state" | "besides" | "metadata" | "sha256" | "unchanged">,
): CheckpointFile {
  const stored = (name: string): StoredTensor => {
    const found = tensors.get(name);
    if (found === undefined)
      throw new TransferLimitsError("BAD_CHECKPOINT", `${path} has no tensor ${describe(name)}`);
    return found;
  };
  return {
    ...rest,
    path,
    names: [...tensors.keys()],
    stored,
    info: (name) => ({ dtype: stored(name).dtype, shape: [...stored(name).shape] }),
    tensor: (name, device = "cpu") => loadStored(stored(name), { device }),
  };
}
