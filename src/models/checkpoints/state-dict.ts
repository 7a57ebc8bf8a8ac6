import { arrayWords } from "./known-values.js";
import {
  NumpyArray,
  NumpyType,
  type PickleDictionary,
  PickleGlobal,
  PickleObject,
  PickleStorage,
  PickleTensor,
  PickleTuple,
  type PickleValue,
} from "./pickle-values.js";
import type { TensorGroup } from "./weights-states.js";

/** Plain data, ready for JSON. */
export type Plain = null | boolean | number | string | Plain[] | { [key: string]: Plain };

/** What is nested more deeply is passed over. */
const deepest = 32;
/** Of a key that leads to weights, so many characters are kept. */
const longestKey = 200;

/** Every dictionary that holds tensors by name, outer ones first; and whole models, whose classes would have to be run. */
export function findTensors(root: PickleValue): { groups: TensorGroup<PickleTensor>[]; models: string[] } {
  const groups: TensorGroup<PickleTensor>[] = [];
  const models: string[] = [];
  visit(root, (value, path) => {
    if (value instanceof PickleObject && isModel(value)) {
      models.push(value.words);
      return false;
    }
    if (!(value instanceof Map)) return true;
    const tensors = new Map<string, PickleTensor>();
    const withheld = new Map<string, string>();
    for (const [name, entry] of value as PickleDictionary) {
      if (typeof name !== "string") continue;
      if (entry instanceof PickleTensor) tensors.set(name, entry);
      else if (entry instanceof PickleObject) withheld.set(name, entry.because);
    }
    if (tensors.size > 0) groups.push({ path: path.join("."), tensors, withheld });
    return true;
  });
  return { groups, models };
}

/** A module of PyTorch that was saved as it is: its tensors lie in dictionaries of each of its parts. */
const isModel = (value: PickleObject): boolean =>
  value.attributes.some((attributes) => attributes.has("_parameters") && attributes.has("_modules"));

/** Visits every container once, outer ones first, and what lies in it where `look` says so. */
function visit(root: PickleValue, look: (value: object, path: readonly string[]) => boolean): void {
  const seen = new Set<object>();
  const open: { value: PickleValue; path: readonly string[] }[] = [{ value: root, path: [] }];
  for (let index = 0; index < open.length; index++) {
    const { value, path } = open[index] as (typeof open)[number];
    if (typeof value !== "object" || value === null || seen.has(value)) continue;
    seen.add(value);
    if (!look(value, path) || path.length >= deepest) continue;
    for (const [name, child] of childrenOf(value)) {
      if (typeof child === "object" && child !== null)
        open.push({ value: child, path: name === null ? path : [...path, name.slice(0, longestKey)] });
    }
  }
}

/** What lies in a container, by name; null where it is another side of the container itself. */
function childrenOf(value: object): Iterable<[string | null, PickleValue]> {
  if (value instanceof Map) return named(value);
  if (value instanceof PickleTuple) return Object.entries(value.items);
  if (value instanceof PickleObject) {
    const sides = [value.entries, ...value.attributes, value.items, value.given];
    return sides.map((side): [null, PickleValue] => [null, side]);
  }
  return Array.isArray(value) ? (Object.entries(value) as [string, PickleValue][]) : [];
}

function* named(dictionary: PickleDictionary): Iterable<[string, PickleValue]> {
  for (const [key, value] of dictionary) yield [keyOf(key), value];
}

const keyOf = (key: PickleValue): string =>
  typeof key === "string" || typeof key === "number" || typeof key === "boolean" || typeof key === "bigint"
    ? String(key)
    : key === null
      ? "None"
      : "?";

const most = { depth: 6, entries: 200, text: 500, values: 5000 };
const shortened = (text: string): string => (text.length > most.text ? `${text.slice(0, most.text)}…` : text);

/**
 * What stands beside the tensors, such as the epoch and the arguments of training, as plain data. Large and deep things
 * are shortened: it is for reading, not for going on with training.
 */
export function plainDataOf(root: PickleValue): { [key: string]: Plain } {
  let left = most.values;
  const plain = (value: PickleValue, depth: number): Plain => {
    if (--left < 0) return "…";
    if (value === null || typeof value === "boolean") return value;
    if (typeof value === "string") return shortened(value);
    if (typeof value === "number") return Number.isFinite(value) ? value : String(value);
    if (typeof value === "bigint") return String(value).slice(0, most.text);
    if (value instanceof PickleTensor) return `tensor ${value.dtype} [${value.shape.join(", ")}]`;
    if (value instanceof PickleGlobal) return value.words;
    if (value instanceof PickleStorage) return `storage of ${value.length}`;
    if (value instanceof NumpyArray) return arrayWords(value);
    if (value instanceof NumpyType) return value.code;
    if (value instanceof Uint8Array) return `${value.length} bytes`;
    if (depth >= most.depth) return "…";
    if (value instanceof PickleObject) return object(value, depth);
    if (value instanceof Map) return dictionary([value], depth);
    return list(value instanceof PickleTuple ? value.items : value, depth);
  };
  const list = (items: readonly PickleValue[], depth: number): Plain[] => {
    const shown = items.slice(0, most.entries).map((item) => plain(item, depth + 1));
    return items.length > most.entries ? [...shown, `… ${items.length - most.entries} more`] : shown;
  };
  // A dictionary that stands in many places is looked through once.
  const known = new Map<object, { tensors: number; others: [PickleValue, PickleValue][] }>();
  const partsOf = (from: PickleDictionary) => {
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
  const entriesOf = (from: readonly PickleDictionary[], depth: number): [string, Plain][] =>
    from
      .flatMap((one) => partsOf(one).others)
      .slice(0, most.entries)
      .map(([key, value]) => [keyOf(key).slice(0, most.text), plain(value, depth + 1)]);
  const dictionary = (from: readonly PickleDictionary[], depth: number): Plain => {
    const tensors = from.reduce((sum, one) => sum + partsOf(one).tensors, 0);
    const entries = entriesOf(from, depth);
    if (tensors === 0) return Object.fromEntries(entries);
    const words = `${tensors} ${tensors === 1 ? "tensor" : "tensors"}`;
    return entries.length === 0 ? words : Object.fromEntries([...entries, ["and", words]]);
  };
  /** What is known of an object: its entries and attributes, its items, or what it was made of. */
  const object = (value: PickleObject, depth: number): Plain => {
    const sides = sidesOf(value);
    if (sides.some(({ size }) => size > 0)) return dictionary(sides, depth);
    if (value.items.length > 0) return list(value.items, depth);
    if (value.given.length === 0) return value.words;
    const given = value.given.slice(0, 10).map((item) => JSON.stringify(plain(item, depth + 1)));
    return shortened(`${value.words}(${given.join(", ")})`);
  };
  if (root instanceof Map) return Object.fromEntries(entriesOf([root], 0));
  return root instanceof PickleObject ? Object.fromEntries(entriesOf(sidesOf(root), 0)) : {};
}

const sidesOf = (value: PickleObject): PickleDictionary[] => [value.entries, ...value.attributes];
