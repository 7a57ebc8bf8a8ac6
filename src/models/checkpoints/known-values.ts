import { elementsOf } from "../../native/stored-tensor.js";
import {
  NumpyArray,
  NumpyType,
  type PickleDictionary,
  PickleGlobal,
  PickleObject,
  PickleTuple,
  type PickleValue,
} from "./pickle-values.js";

/** A mistake in a pickle, in words; the reader of the file adds the file's name. */
export class PickleFault extends Error {}

/** Something that a call needs is of a class that is not run: what the call makes cannot be known either. */
export class DependsOnUnknown extends Error {}

/** Says that a call takes so many elements, bytes or characters: a pickle may take no more than its length allows. */
export type Spend = (units: number) => void;

/** What a call makes of its arguments. Nothing of it runs code from the file: each builds plain data from plain data. */
export type Call = (given: readonly PickleValue[], spend: Spend) => PickleValue;

/** The value itself, where it is one. @throws `DependsOnUnknown` */
export function known<Value extends PickleValue | undefined>(value: Value): Value {
  if (value instanceof PickleObject) throw new DependsOnUnknown(value.because);
  if (value instanceof PickleGlobal && !value.known) throw new DependsOnUnknown(value.words);
  return value;
}

/** The items of a list or tuple, which must not be changed. */
export function itemsOf(value: PickleValue | undefined, what: string): readonly PickleValue[] {
  if (value instanceof PickleTuple) return value.items;
  if (Array.isArray(value)) return value;
  known(value);
  throw new PickleFault(`${what} is no list`);
}

function copyOf(value: PickleValue | undefined, what: string, spend: Spend): PickleValue[] {
  const items = itemsOf(value ?? [], what);
  spend(items.length);
  return [...items];
}

function dictionaryOf(value: PickleValue | undefined, spend: Spend): PickleDictionary {
  if (value instanceof Map) {
    spend(value.size);
    return new Map(value);
  }
  const dictionary: PickleDictionary = new Map();
  for (const pair of copyOf(value, "a dictionary", spend)) {
    const [key, item] = itemsOf(pair, "a pair of a dictionary");
    if (key === undefined || item === undefined) throw new PickleFault("a pair of a dictionary is not two");
    dictionary.set(key, item);
  }
  return dictionary;
}

/** Bytes as protocol 2 writes them: as text of which each character is a byte. */
function bytesOf([value, encoding]: readonly PickleValue[], spend: Spend): Uint8Array {
  if (value === undefined) return new Uint8Array();
  if (value instanceof Uint8Array) return value;
  known(value);
  if (typeof value !== "string" || (encoding !== "latin1" && encoding !== "latin-1"))
    throw new DependsOnUnknown("bytes in another encoding");
  spend(value.length);
  return Buffer.from(value, "latin1");
}

const longestPath = 4096;

/** A path's parts, joined. */
function pathOf(given: readonly PickleValue[]): string {
  if (given.length > longestPath) throw new DependsOnUnknown("a long path");
  const parts = given.filter((part): part is string => typeof part === "string");
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  if (parts.length !== given.length || length > longestPath) throw new DependsOnUnknown("a path");
  const [root = ".", ...rest] = parts;
  const between = root.includes("\\") ? "\\" : "/";
  return root.endsWith(between) ? root + rest.join(between) : [root, ...rest].join(between);
}

const twoDigits = (value: number): string => String(value).padStart(2, "0");

/** A date, or a date and time, from the bytes that Python's `datetime` packs it into. */
function dateOf([packed, zone]: readonly PickleValue[]): string {
  const bytes = typeof packed === "string" && packed.length <= 10 ? Buffer.from(packed, "latin1") : packed;
  if (!(bytes instanceof Uint8Array) || (bytes.length !== 4 && bytes.length !== 10))
    throw new DependsOnUnknown("a date");
  const [high, low, month, day, hour = 0, minute = 0, second = 0] = bytes as unknown as number[];
  // The month's highest bit says which of two equal hours is meant when clocks are set back.
  const date = `${(high as number) * 256 + (low as number)}-${twoDigits((month as number) & 127)}-${twoDigits(day as number)}`;
  if (bytes.length === 4) return date;
  const time = `${date} ${[hour, minute, second].map(twoDigits).join(":")}`;
  return zone === undefined ? time : `${time} in its time zone`;
}

/** What reads one number of each of NumPy's types. */
const numpyNumbers: Readonly<Record<string, (view: DataView, little: boolean) => number | bigint | boolean>> =
  {
    b1: (view) => view.getUint8(0) !== 0,
    i1: (view) => view.getInt8(0),
    u1: (view) => view.getUint8(0),
    i2: (view, little) => view.getInt16(0, little),
    u2: (view, little) => view.getUint16(0, little),
    i4: (view, little) => view.getInt32(0, little),
    u4: (view, little) => view.getUint32(0, little),
    i8: (view, little) => small(view.getBigInt64(0, little)),
    u8: (view, little) => small(view.getBigUint64(0, little)),
    f4: (view, little) => view.getFloat32(0, little),
    f8: (view, little) => view.getFloat64(0, little),
  };

const small = (value: bigint): number | bigint =>
  Number.isSafeInteger(Number(value)) ? Number(value) : value;

function numpyScalar([type, bytes]: readonly PickleValue[]): PickleValue {
  if (!(type instanceof NumpyType) || !(bytes instanceof Uint8Array))
    throw new DependsOnUnknown("a number of NumPy");
  const read = Object.hasOwn(numpyNumbers, type.code) ? numpyNumbers[type.code] : undefined;
  if (read === undefined || bytes.length !== Number(type.code.slice(1)))
    throw new DependsOnUnknown("a number of NumPy");
  return read(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), type.littleEndian);
}

function numpyType([code]: readonly PickleValue[]): NumpyType {
  if (typeof code !== "string" || code.length > 100) throw new DependsOnUnknown("a type of NumPy");
  return new NumpyType(code);
}

/** The parts of an array of NumPy that are for reading: its type and shape. */
export function describeArray(
  array: NumpyArray,
  type: PickleValue | undefined,
  shape: PickleValue | undefined,
): void {
  array.type = type instanceof NumpyType ? type.code : "";
  array.shape = shape instanceof PickleTuple && shape.items.length <= 64 ? shape.items : [];
}

/** Under every module that has had it, the newest first. */
const underAll = (modules: readonly string[], calls: Readonly<Record<string, Call>>): Record<string, Call> =>
  Object.fromEntries(
    modules.flatMap((module) => Object.entries(calls).map(([name, call]) => [`${module}.${name}`, call])),
  );

const set: Call = ([items], spend) => copyOf(items, "the items of a set", spend);

/** Calls of Python's own and of NumPy that checkpoints hold beside their tensors. */
export const plainCalls: Readonly<Record<string, Call>> = {
  ...underAll(["builtins", "__builtin__"], {
    set,
    frozenset: set,
    list: ([items], spend) => copyOf(items, "a list", spend),
    tuple: ([items], spend) => new PickleTuple(copyOf(items, "a tuple", spend)),
    dict: ([pairs], spend) => dictionaryOf(pairs, spend),
    bytes: bytesOf,
    bytearray: bytesOf,
    complex: ([real, imaginary]) => {
      if (typeof real !== "number" || typeof imaginary !== "number")
        throw new DependsOnUnknown("a complex number");
      return `${real} + ${imaginary}j`;
    },
  }),
  "_codecs.encode": bytesOf,
  "collections.OrderedDict": ([pairs], spend) => dictionaryOf(pairs, spend),
  "collections.Counter": ([counts], spend) => dictionaryOf(counts, spend),
  /** Its first argument makes values that are not there yet: it is never called. */
  "collections.defaultdict": ([, pairs], spend) => dictionaryOf(pairs, spend),
  "collections.deque": ([items], spend) => copyOf(items, "a queue", spend),
  ...underAll(["pathlib", "pathlib._local"], {
    Path: pathOf,
    PosixPath: pathOf,
    WindowsPath: pathOf,
    PurePath: pathOf,
    PurePosixPath: pathOf,
    PureWindowsPath: pathOf,
  }),
  "datetime.datetime": dateOf,
  "datetime.date": dateOf,
  "numpy.dtype": numpyType,
  ...underAll(["numpy._core.multiarray", "numpy.core.multiarray"], {
    scalar: numpyScalar,
    _reconstruct: () => new NumpyArray(),
  }),
  ...underAll(["numpy._core.numeric", "numpy.core.numeric"], {
    _frombuffer: ([, type, shape]) => {
      const array = new NumpyArray();
      describeArray(array, type, shape);
      return array;
    },
  }),
};

const pythonTypes = [
  "int",
  "long",
  "float",
  "str",
  "unicode",
  "bool",
  "object",
  "type",
  "range",
  "xrange",
  "slice",
];

/** Names that stand beside plain data: types that are only named, and classes whose objects are their attributes. */
export const plainNames: ReadonlySet<string> = new Set([
  "argparse.Namespace",
  "types.SimpleNamespace",
  "numpy.ndarray",
  ...pythonTypes.flatMap((name) => [`builtins.${name}`, `__builtin__.${name}`]),
]);

/** Words for an array, such as `array f8 [3, 4]`. */
export function arrayWords({ type, shape }: NumpyArray): string {
  const sizes = shape.filter((size): size is number => typeof size === "number");
  return `array ${type} [${sizes.join(", ")}], ${elementsOf(sizes)} elements`;
}
