import { createHash } from "node:crypto";
import { requirePath } from "../../common/arguments.js";
import { describe, messageOf, TransferLimitsError } from "../../common/errors.js";
import { type StoredType, storedTypes } from "../../native/number-formats.js";
import { readSafetensors } from "../../native/safetensors.js";
import { loadStored, type StoredTensor } from "../../native/stored-tensor.js";
import type { Tensor } from "../../native/tensor.js";
import { OpenedFile } from "./opened-file.js";
import type { PickleTensor } from "./pickle-values.js";
import { readSafetensorsShards } from "./safetensors-shards.js";
import { findTensors, type Plain, plainDataOf } from "./state-dict.js";
import { readTorchLegacy, readTorchZip, type TorchFile } from "./torch-files.js";
import { type ChosenState, chooseState, type WeightsChoice, type WeightsState } from "./weights-states.js";

/** What a file of weights is, by its contents. */
export type CheckpointFormat = "PyTorch zip" | "PyTorch legacy" | "safetensors" | "sharded safetensors";

/** A file of weights whose description is checked; tensors are read when they are asked for. */
export interface CheckpointFile {
  /** As it was given. */
  readonly path: string;
  readonly format: CheckpointFormat;
  /** Of all its files together. */
  readonly bytes: number;
  /** Where in the file the weights lie, as keys joined by dots: `"model"`; empty where they are all there is. */
  readonly state: string;
  /** Why those were taken, and which others could be the weights as well, such as their running average. */
  readonly chosen: { readonly how: WeightsChoice; readonly alternatives: readonly WeightsState[] };
  /** Other dictionaries of tensors in the file, such as those of an optimiser. */
  readonly besides: readonly WeightsState[];
  /** Entries beside the weights' names that may be tensors, and depend on a class that is not run: its name, by theirs. */
  readonly withheld: ReadonlyMap<string, string>;
  /** Classes and functions that the file names and that are not known here: nothing of them is run. */
  readonly unknown: readonly string[];
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

/** What of a file of weights is meant. */
export interface CheckpointOptions {
  /**
   * Which of the sets of tensors in the file are the weights, as `inspect` calls it: `"model_ema"`. Default: the
   * likeliest.
   */
  weightsState?: string | undefined;
}

/**
 * Opens a file of weights: PyTorch's zip format or the one before version 1.6, safetensors, or the index of sharded
 * safetensors. What it is, is told by its bytes and not by its name. Nothing in it is run, no tensor is read, and every
 * size it claims is checked against the file first.
 *
 * @throws `BAD_CHECKPOINT` with the file and what is wrong with it; `BAD_INPUT` where it has no `weightsState` of that name
 */
export async function openCheckpoint(path: string, options: CheckpointOptions = {}): Promise<CheckpointFile> {
  requirePath(path, "path");
  const file = await OpenedFile.open(path);
  try {
    return await openAs(file, options.weightsState);
  } catch (error) {
    if (error instanceof TransferLimitsError) throw error;
    // Memory ran out, or a mistake of ours: whatever a file does, it is refused and nothing else stops.
    throw file.refuse(`it could not be read: ${messageOf(error)}`, error);
  }
}

async function openAs(file: OpenedFile, named: string | undefined): Promise<CheckpointFile> {
  if (file.size === 0) throw file.refuse("it is empty");
  const start = await file.read(0, Math.min(file.size, 512));
  // Safetensors begins with the length of its header, whose bytes may look like any other format's first ones.
  if (start.length > 8 && start.readUInt32LE(4) === 0 && start[8] === 0x7b) return ofSafetensors(file, named);
  if (start.subarray(0, 4).equals(zipMagic))
    return ofTorch(file, "PyTorch zip", await readTorchZip(file), named);
  if (start[0] === 0x80) return ofTorch(file, "PyTorch legacy", await readTorchLegacy(file), named);
  if (start[0] === 0x7b) return ofShards(file, named);
  if (start[8] === 0x7b) return ofSafetensors(file, named); // which refuses the length that the header claims
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

function ofTorch(
  file: OpenedFile,
  format: CheckpointFormat,
  torch: TorchFile,
  named: string | undefined,
): CheckpointFile {
  const { groups, models } = findTensors(torch.value);
  if (groups.length === 0) throw file.unusable(noTensors(models, torch.unknown));
  const choice = chooseState(groups, file.path, named);
  const tensors = new Map<string, StoredTensor>();
  for (const [name, { storage, dtype, offset, shape, strides }] of choice.chosen.tensors) {
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
    ...choiceOf(choice),
    unknown: torch.unknown,
    metadata: plainDataOf(torch.value),
    sha256: () => file.sha256(),
    unchanged: () => file.unchanged(),
  });
}

/** What of a choice stands in the description of a file. */
const choiceOf = ({ chosen, how, alternatives, besides }: ChosenState<StoredTensor | PickleTensor>) => ({
  state: chosen.path,
  chosen: { how, alternatives },
  besides,
  withheld: chosen.withheld,
});

/** Of a file without a dictionary of tensors: why there is none. */
function noTensors(models: readonly string[], unknown: readonly string[]): string {
  const save = "Save the state_dict() with torch.save";
  const [model] = models;
  if (model !== undefined)
    return `it holds a whole model (${model.slice(0, 120)}), whose class would have to be run, and no tensors by name. ${save}`;
  const asked = unknown.slice(0, 3).map((name) => JSON.stringify(name.slice(0, 120)));
  const words =
    asked.length === 0 ? "" : ` It asks for ${asked.join(", ")}, which is refused: nothing in a file is run.`;
  return `it holds no tensors by name.${words} ${save}`;
}

async function ofSafetensors(file: OpenedFile, named: string | undefined): Promise<CheckpointFile> {
  const { names, stored, metadata } = await readSafetensors(file.path);
  const tensors = new Map<string, StoredTensor>(names.map((name) => [name, stored(name)]));
  const choice = chooseState([{ path: "", tensors, withheld: new Map() }], file.path, named);
  return ofTensors(file.path, choice.chosen.tensors, {
    format: "safetensors",
    bytes: file.size,
    ...choiceOf(choice),
    unknown: [],
    metadata,
    sha256: () => file.sha256(),
    unchanged: () => file.unchanged(),
  });
}

async function ofShards(file: OpenedFile, named: string | undefined): Promise<CheckpointFile> {
  const { tensors, files, metadata } = await readSafetensorsShards(file);
  const choice = chooseState([{ path: "", tensors, withheld: new Map() }], file.path, named);
  return ofTensors(file.path, choice.chosen.tensors, {
    format: "sharded safetensors",
    bytes: files.reduce((sum, { size }) => sum + size, 0),
    ...choiceOf(choice),
    unknown: [],
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
  rest: Omit<CheckpointFile, "path" | "names" | "info" | "stored" | "tensor">,
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
