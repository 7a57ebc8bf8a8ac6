import { elementsOf } from "../../native/stored-tensor.js";
import {
  PickleGlobal,
  PickleNamespace,
  PickleStorage,
  PickleTensor,
  PickleTuple,
  type PickleValue,
} from "./pickle-values.js";

/** Plain data, ready for JSON. */
export type Plain = null | boolean | number | string | Plain[] | { [key: string]: Plain };

/** Names under which training programs keep the weights, the likeliest first. Those of a teacher are the ones to use. */
const likely = [
  "state_dict",
  "model",
  "model_state_dict",
  "model_state",
  "net",
  "network",
  "weights",
  "teacher",
  "ema",
  "model_ema",
  "state_dict_ema",
  "student",
  "encoder",
  "backbone",
];
const neverWeights = /optim|scheduler|scaler|momentum|exp_avg/i;

/** What is nested more deeply is passed over. */
const deepest = 32;

/** A dictionary of tensors within a checkpoint. */
export interface TensorGroup {
  /** The keys that lead to it, joined by dots; empty where the file holds nothing else. */
  path: string;
  tensors: Map<string, PickleTensor>;
}

/** Every dictionary that holds tensors by name, the one with the weights first. */
export function findStates(root: PickleValue): TensorGroup[] {
  const groups: (TensorGroup & { elements: number; name: string })[] = [];
  visit(root, (value, path) => {
    if (!(value instanceof Map)) return;
    const named = [...value].filter(
      (entry): entry is [string, PickleTensor] =>
        typeof entry[0] === "string" && entry[1] instanceof PickleTensor,
    );
    if (named.length === 0) return;
    const elements = named.reduce((sum, [, { shape }]) => sum + elementsOf(shape), 0);
    groups.push({ path: path.join("."), name: path.at(-1) ?? "", tensors: new Map(named), elements });
  });
  const most = groups
    .filter(({ path }) => !neverWeights.test(path))
    .reduce((largest, { elements }) => Math.max(largest, elements), 0);
  const rank = ({ path, name, elements }: (typeof groups)[number]): number => {
    if (neverWeights.test(path)) return likely.length + 2;
    if (elements < most / 2) return likely.length + 1;
    const found = name === "" ? 0 : likely.indexOf(name);
    return found < 0 ? likely.length : found;
  };
  return groups.sort((a, b) => rank(a) - rank(b)).map(({ path, tensors }) => ({ path, tensors }));
}

/** Visits every container once, outer ones first. */
function visit(root: PickleValue, look: (value: object, path: readonly string[]) => void): void {
  const seen = new Set<object>();
  const open: { value: PickleValue; path: readonly string[] }[] = [{ value: root, path: [] }];
  for (let index = 0; index < open.length; index++) {
    const { value, path } = open[index] as (typeof open)[number];
    if (typeof value !== "object" || value === null || seen.has(value)) continue;
    seen.add(value);
    look(value, path);
    if (path.length >= deepest) continue;
    for (const [name, child] of childrenOf(value)) {
      if (typeof child === "object" && child !== null) open.push({ value: child, path: [...path, name] });
    }
  }
}

function childrenOf(value: object): Iterable<[string, PickleValue]> {
  if (value instanceof Map) return named(value);
  if (value instanceof PickleNamespace) return named(value.attributes);
  if (value instanceof PickleTuple) return Object.entries(value.items);
  return Array.isArray(value) ? (Object.entries(value) as [string, PickleValue][]) : [];
}

function* named(dictionary: Map<PickleValue, PickleValue>): Iterable<[string, PickleValue]> {
  for (const [key, value] of dictionary) yield [String(keyOf(key)), value];
}

const keyOf = (key: PickleValue): string =>
  typeof key === "string" || typeof key === "number" || typeof key === "boolean" || typeof key === "bigint"
    ? String(key)
    : key === null
      ? "None"
      : "?";

const most = { depth: 6, entries: 200, text: 500, values: 5000 };

/**
 * What stands beside the tensors, such as the epoch and the arguments of training, as plain data. Large and deep things
 * are shortened: it is for reading, not for going on with training.
 */
export function plainDataOf(root: PickleValue): { [key: string]: Plain } {
  let left = most.values;
  const plain = (value: PickleValue, depth: number): Plain => {
    if (--left < 0) return "…";
    if (value === null || typeof value === "boolean") return value;
    if (typeof value === "string") return value.length > most.text ? `${value.slice(0, most.text)}…` : value;
    if (typeof value === "number") return Number.isFinite(value) ? value : String(value);
    if (typeof value === "bigint") return String(value).slice(0, most.text);
    if (value instanceof PickleTensor) return `tensor ${value.dtype} [${value.shape.join(", ")}]`;
    if (value instanceof PickleGlobal) return value.words;
    if (value instanceof PickleStorage) return `storage of ${value.length}`;
    if (value instanceof Uint8Array) return `${value.length} bytes`;
    if (depth >= most.depth) return "…";
    if (value instanceof Map || value instanceof PickleNamespace) {
      return dictionary(value instanceof Map ? value : value.attributes, depth);
    }
    const items = value instanceof PickleTuple ? value.items : value;
    const shown = items.slice(0, most.entries).map((item) => plain(item, depth + 1));
    return items.length > most.entries ? [...shown, `… ${items.length - most.entries} more`] : shown;
  };
  // A dictionary that stands in many places is looked through once.
  const known = new Map<object, { tensors: number; others: [PickleValue, PickleValue][] }>();
  const partsOf = (from: Map<PickleValue, PickleValue>) => {
    const found = known.get(from);
    if (found) return found;
    const parts = { tensors: 0, others: [] as [PickleValue, PickleValue][] };
    for (const entry of from) {
      if (entry[1] instanceof PickleTensor) parts.tensors++;
      else if (parts.others.length < most.entries) parts.others.push(entry);
    }
    known.set(from, parts);
    return parts;
  };
  const entriesOf = (from: Map<PickleValue, PickleValue>, depth: number): [string, Plain][] =>
    partsOf(from).others.map(([key, value]) => [keyOf(key).slice(0, most.text), plain(value, depth + 1)]);
  const dictionary = (from: Map<PickleValue, PickleValue>, depth: number): Plain => {
    const { tensors } = partsOf(from);
    const entries = entriesOf(from, depth);
    if (tensors === 0) return Object.fromEntries(entries);
    const words = `${tensors} ${tensors === 1 ? "tensor" : "tensors"}`;
    return entries.length === 0 ? words : Object.fromEntries([...entries, ["and", words]]);
  };
  if (root instanceof Map) return Object.fromEntries(entriesOf(root, 0));
  return root instanceof PickleNamespace ? Object.fromEntries(entriesOf(root.attributes, 0)) : {};
}
