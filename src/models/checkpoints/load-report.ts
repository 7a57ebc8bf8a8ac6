import type { NetworkSpec } from "../../native/network-spec.js";
import type { ParameterInfo } from "../../native/placed-network.js";
import { elementsOf } from "../../native/stored-tensor.js";
import type { CheckpointFile, CheckpointFormat } from "./checkpoint-file.js";
import { coverageOf, isAbsentBy, type Match, tensorCoverageOf } from "./matching.js";
import type { Orientation } from "./orientation.js";
import type { Plain } from "./state-dict.js";
import type { WeightsChoice, WeightsState } from "./weights-states.js";

/** What happened to every tensor of a checkpoint and every parameter of a network: a plain object, ready for JSON. */
export interface LoadReport {
  /** Of this report. */
  format: "transfer-limits/load-report@1";
  /** What was loaded. */
  file: {
    path: string;
    format: CheckpointFormat;
    /** Of all its files together. */
    bytes: number;
    /** As hexadecimal digits. */
    sha256: string;
    /** Where in the file the weights lie, why those were taken, and which others could have been. */
    state: string;
    chosen: WeightsChoice;
    alternatives: WeightsState[];
    /** What most of the names begin with, and every wrapper that names were taken without. */
    prefix: string;
    wrappers: string[];
    /** Classes and functions that the file names and that are not known here: nothing of them was run. */
    unknown: string[];
    /** What stands beside the tensors, as plain data. */
    metadata: { [key: string]: Plain };
  };
  /** Words for the network: its encoder with its head. */
  network: string;
  /** By which names its tensors were told apart. */
  keyMap: {
    name: string;
    /** In words. */
    title: string;
    /** Named by the caller, told by the file's names, or the nearest where none was told. */
    chosen: "named" | "detected" | "nearest";
  };
  /**
   * Shares of parameters, buffers not counted, that the file covers; `encoderTensors`: of the encoder's tensors, those
   * left out that such files never hold.
   */
  coverage: { encoder: number; encoderTensors: number; network: number };
  /** Every parameter and buffer that was loaded, under its name in the file. */
  loaded: {
    name: string;
    from: string;
    shape: number[];
    storedAs: string;
    storedShape: number[];
    change: string | null;
  }[];
  /** Parameters and buffers that keep the values they had; `expected` where such files never hold them. */
  missing: { name: string; shape: number[]; expected: boolean }[];
  /** Tensors of the file that stand for no parameter of the network. */
  leftOver: { name: string; shape: number[] }[];
  /** Tensors that stand for a parameter of another shape or kind. */
  misfits: {
    name: string;
    from: string;
    shape: number[];
    storedAs: string;
    storedShape: number[];
    permuted: boolean;
  }[];
  /** By module: how many tensors and single parameters there are, and were loaded. */
  modules: { name: string; tensors: number; loaded: number; parameters: number; parametersLoaded: number }[];
  /** What loading did to the embedding of a fixed probe volume; null for a network without an encoder. */
  embedding: {
    /** Length of the difference over the length of the embedding with the weights that the network had before. */
    change: number;
    before: "random weights" | "the weights before";
  } | null;
  /** Whether the spatial axes are in our order. */
  orientation: Orientation;
  /** What a person should look at. */
  warnings: string[];
  /** Why the file was refused; null where it was loaded. */
  refusal: string | null;
}

/** The module that a parameter belongs to: a stage, a block, a head. */
export function moduleOf(name: string): string {
  const parts = name.split(".");
  const number = parts.findIndex((part) => /^\d+$/.test(part));
  return number < 0 ? parts.slice(0, -1).join(".") || name : parts.slice(0, number + 1).join(".");
}

/** The part of a report that names and shapes alone give. */
export function describeMatch(
  match: Match,
  file: CheckpointFile,
  scope: { parameters: readonly ParameterInfo[]; encoder: readonly ParameterInfo[] },
): Pick<LoadReport, "coverage" | "loaded" | "missing" | "leftOver" | "misfits" | "modules"> {
  const fits = new Set(match.fits.map(({ parameter }) => parameter.name));
  return {
    coverage: {
      encoder: coverageOf(match, scope.encoder),
      encoderTensors: tensorCoverageOf(match, scope.encoder),
      network: coverageOf(match, scope.parameters),
    },
    loaded: match.fits.map(({ parameter, from, reading }) => ({
      name: parameter.name,
      from,
      shape: parameter.shape,
      storedAs: file.info(from).dtype,
      storedShape: file.info(from).shape,
      change: reading.change,
    })),
    missing: match.missing.map(({ name, shape }) => ({
      name,
      shape,
      expected: isAbsentBy(match.keyMap, name),
    })),
    leftOver: match.unexpected.map(({ name }) => ({ name, shape: file.info(name).shape })),
    misfits: match.misfits.map(({ parameter, from, shape, dtype, permuted }) => ({
      name: parameter.name,
      from,
      shape: parameter.shape,
      storedAs: dtype,
      storedShape: shape,
      permuted,
    })),
    modules: modulesOf(scope.parameters, fits),
  };
}

function modulesOf(parameters: readonly ParameterInfo[], loaded: ReadonlySet<string>): LoadReport["modules"] {
  const modules = new Map<string, LoadReport["modules"][number]>();
  for (const { name, shape, buffer } of parameters) {
    const key = moduleOf(name);
    const found = modules.get(key);
    const module = found ?? { name: key, tensors: 0, loaded: 0, parameters: 0, parametersLoaded: 0 };
    if (!found) modules.set(key, module);
    const count = buffer ? 0 : elementsOf(shape);
    module.tensors++;
    module.parameters += count;
    if (!loaded.has(name)) continue;
    module.loaded++;
    module.parametersLoaded += count;
  }
  return [...modules.values()];
}

/** Words for a network: its encoder with its head, or its family. */
export const networkWords = (spec: NetworkSpec): string =>
  "model" in spec ? spec.model.family : `${spec.encoder.family}${spec.head ? ` + ${spec.head.kind}` : ""}`;
