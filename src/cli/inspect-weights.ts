import { openRegularFile } from "../common/regular-file.js";
import type { GuessedArchitecture } from "../models/architectures/architecture.js";
import {
  type CheckpointFile,
  type CheckpointFormat,
  openCheckpoint,
} from "../models/checkpoints/checkpoint-file.js";
import { keyMaps } from "../models/checkpoints/key-maps/index.js";
import { bearsSigns, coverageOf, isAbsentBy, matchKeys } from "../models/checkpoints/matching.js";
import type { Plain } from "../models/checkpoints/state-dict.js";
import type { WeightsChoice, WeightsState } from "../models/checkpoints/weights-states.js";
import { unwrap } from "../models/checkpoints/wrappers.js";
import { elementsOf } from "../native/stored-tensor.js";

/** What a file of weights holds: a plain object, ready for JSON. */
export interface WeightsInspection {
  path: string;
  kind: "weights";
  format: CheckpointFormat;
  bytes: number;
  sha256: string;
  /** All elements of the weights. */
  parameters: number;
  /** Where in the file the weights lie, and why those were taken of several. */
  state: string;
  chosen: WeightsChoice;
  /** Other sets of tensors that could be the weights as well, such as their running average. */
  alternatives: readonly WeightsState[];
  /** What most of the names begin with, and every wrapper that stands in one of them. */
  prefix: string;
  wrappers: readonly string[];
  /** Other dictionaries of tensors in the file. */
  besides: readonly WeightsState[];
  /** Classes and functions that the file names and that are not known here: nothing of them is run. */
  unknown: readonly string[];
  /** What stands beside the tensors. */
  metadata: { readonly [key: string]: Plain };
  /** The encoder that names and shapes speak of. */
  architecture: GuessedArchitecture | null;
  /** Sources whose signs the file bears, the best first. */
  keyMaps: {
    name: string;
    title: string;
    /** Share of the guessed encoder's parameters that the file covers; null where LibTorch is not there to tell. */
    coverage: number | null;
    /** Tensors that stand for a parameter and cannot become it, and parameters that no tensor stands for. */
    misfits: { from: string; shape: number[]; parameter: string; expected: number[] }[];
    missing: string[];
  }[];
  tensors: { name: string; dtype: string; shape: number[] }[];
}

const names = /\.(?:safetensors|pth|pth\.tar|pt|bin|ckpt|index\.json)$/i;

/** Whether a file is one of weights: by its first bytes, or by its name where these are those of nothing. */
export async function isWeights(path: string): Promise<boolean> {
  if (names.test(path)) return true;
  const start = Buffer.alloc(16);
  try {
    const { file } = await openRegularFile(path);
    try {
      await file.read(start, 0, start.length, 0);
    } finally {
      await file.close();
    }
  } catch {
    return false;
  }
  const isZip = start.subarray(0, 4).toString("latin1") === "PK\x03\x04";
  const isPickle = start[0] === 0x80 && (start[1] as number) >= 2 && (start[1] as number) <= 5;
  return isZip || isPickle || start[0] === 0x7b || (start[8] === 0x7b && start.readUInt32LE(4) === 0);
}

/**
 * Reads the description of a file of weights; no tensor is loaded. `weightsState` names one of several sets of weights.
 *
 * @throws `BAD_CHECKPOINT`; `BAD_INPUT` where there is no such set
 */
export async function inspectWeights(path: string, weightsState?: string): Promise<WeightsInspection> {
  const file = await openCheckpoint(path, { weightsState });
  const { prefix, wrappers } = unwrap(file.names);
  const tensors = file.names.map((name) => ({ name, ...file.info(name) }));
  return {
    path,
    kind: "weights",
    format: file.format,
    bytes: file.bytes,
    sha256: await file.sha256(),
    parameters: tensors.reduce((sum, { shape }) => sum + elementsOf(shape), 0),
    state: file.state,
    chosen: file.chosen.how,
    alternatives: file.chosen.alternatives,
    prefix,
    wrappers,
    besides: file.besides,
    unknown: file.unknown,
    metadata: file.metadata,
    ...(await sourceOf(file)),
    tensors,
  };
}

/** Whose weights these are: key maps whose signs the file bears, and the encoder that the best of them speaks of. */
async function sourceOf(file: CheckpointFile): Promise<Pick<WeightsInspection, "architecture" | "keyMaps">> {
  const { guessArchitecture } = await import("../models/checkpoints/architecture.js");
  const bearing = keyMaps.filter((keyMap) => bearsSigns(file, keyMap));
  const architecture =
    bearing.map((keyMap) => guessArchitecture(file, keyMap)).find((guess) => guess !== null) ?? null;
  const parameters = architecture === null ? null : await parametersOf(architecture);
  const rated = bearing.map((keyMap) => {
    const match = parameters && matchKeys(file, parameters, keyMap);
    return {
      name: keyMap.name,
      title: keyMap.title,
      coverage: match && coverageOf(match, parameters),
      misfits: (match?.misfits ?? []).map(({ from, shape, parameter }) => ({
        from,
        shape,
        parameter: parameter.name,
        expected: parameter.shape,
      })),
      missing: (match?.missing ?? []).flatMap(({ name, buffer }) =>
        buffer || isAbsentBy(keyMap, name) ? [] : [name],
      ),
    };
  });
  return { architecture, keyMaps: rated.sort((a, b) => (b.coverage ?? 0) - (a.coverage ?? 0)) };
}

/** The parameters of an encoder; null where there is no LibTorch, which builds it. */
async function parametersOf({ encoder }: GuessedArchitecture) {
  try {
    const { PlacedNetwork } = await import("../native/placed-network.js");
    using network = await PlacedNetwork.build({ encoder });
    return network.parameters;
  } catch (error) {
    if ((error as { code?: unknown }).code === "LIBTORCH_MISSING") return null;
    throw error;
  }
}
