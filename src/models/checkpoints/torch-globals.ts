import { elementsOf, type StoredType, spanOf, storedTypes } from "../../native/stored-tensor.js";
import {
  type PickleDictionary,
  PickleGlobal,
  PickleNamespace,
  PickleStorage,
  PickleTensor,
  PickleTuple,
  type PickleValue,
} from "./pickle-values.js";

/** A mistake in a pickle, in words; the reader of the file adds the file's name. */
export class PickleFault extends Error {}

const storageTypes: Readonly<Record<string, StoredType>> = {
  DoubleStorage: "float64",
  FloatStorage: "float32",
  HalfStorage: "float16",
  BFloat16Storage: "bfloat16",
  LongStorage: "int64",
  IntStorage: "int32",
  ShortStorage: "int16",
  CharStorage: "int8",
  ByteStorage: "uint8",
  BoolStorage: "bool",
  ComplexDoubleStorage: "complex128",
  ComplexFloatStorage: "complex64",
};

/** A tensor may repeat elements (stride 0), but not into more than so many where its storage holds fewer. */
const mostRepeated = 1 << 20;
const mostAxes = 64;

const complexText: Call = ([real, imaginary]) => `${String(real)} + ${String(imaginary)}j`;

type Call = (given: PickleValue[]) => PickleValue;

/** What a checkpoint may call. Nothing of it runs code from the file: each builds plain data from plain data. */
const calls: Readonly<Record<string, Call>> = {
  "collections.OrderedDict": ([pairs]) => dictionaryOf(pairs),
  "builtins.set": ([items]) => itemsOf(items ?? [], "the items of a set"),
  "builtins.frozenset": ([items]) => itemsOf(items ?? [], "the items of a set"),
  "__builtin__.set": ([items]) => itemsOf(items ?? [], "the items of a set"),
  "__builtin__.frozenset": ([items]) => itemsOf(items ?? [], "the items of a set"),
  "builtins.complex": complexText,
  "__builtin__.complex": complexText,
  /** How protocol 2 writes bytes: as text of which each character is a byte. */
  "_codecs.encode": ([text, encoding]) => {
    if (typeof text !== "string" || (encoding !== "latin1" && encoding !== "latin-1"))
      throw new PickleFault("bytes are written in a way that is not known");
    return Uint8Array.from(Buffer.from(text, "latin1"));
  },
  "argparse.Namespace": () => new PickleNamespace(),
  "torch.Size": ([sizes]) => new PickleTuple(itemsOf(sizes ?? [], "a torch.Size")),
  "torch.device": ([type, index]) =>
    typeof type === "string" ? (typeof index === "number" ? `${type}:${index}` : type) : null,
  "torch._utils._rebuild_tensor": ([storage, offset, shape, strides]) =>
    tensorOf(storage, offset, shape, strides),
  "torch._utils._rebuild_tensor_v2": ([storage, offset, shape, strides, , , metadata]) => {
    if (metadata instanceof Map && metadata.size > 0)
      throw new PickleFault("a tensor is a conjugate or negative view, which is not read");
    return tensorOf(storage, offset, shape, strides);
  },
  "torch._utils._rebuild_tensor_v3": ([storage, offset, shape, strides, , , dtype]) =>
    tensorOf(storage, offset, shape, strides, dtype),
  "torch._utils._rebuild_parameter": ([tensor]) => wrapped(tensor),
  "torch._utils._rebuild_parameter_with_state": ([tensor]) => wrapped(tensor),
  /** A subclass of Tensor: the function that makes it, its class, the function's arguments, its attributes. */
  "torch._tensor._rebuild_from_type_v2": ([make, , given]) => {
    if (!(make instanceof PickleGlobal))
      throw new PickleFault("a tensor is made by something that is no function");
    return wrapped(call(make, itemsOf(given, "the arguments of a tensor")));
  },
};

/** Names that a checkpoint may mention without calling them. */
const mentioned = new Set([
  "torch.Tensor",
  "torch.nn.parameter.Parameter",
  "torch.storage.UntypedStorage",
  "torch.storage.TypedStorage",
  "torch.strided",
  "torch.contiguous_format",
]);

const isStorageClass = ({ module, name }: PickleGlobal): boolean =>
  (module === "torch" || module === "torch.cuda") && Object.hasOwn(storageTypes, name);

const dtypeOf = ({ module, name }: PickleGlobal): StoredType | null =>
  module === "torch" && Object.hasOwn(storedTypes, name) ? (name as StoredType) : null;

/** @throws what the pickle asked for, where it is none of the names that checkpoints of plain data hold */
export function globalNamed(module: string, name: string): PickleGlobal {
  const found = new PickleGlobal(module, name);
  const known =
    Object.hasOwn(calls, found.words) ||
    mentioned.has(found.words) ||
    isStorageClass(found) ||
    dtypeOf(found) !== null;
  if (known) return found;
  throw new PickleFault(
    `it asks for ${JSON.stringify(found.words.slice(0, 120))}, which is refused: a checkpoint may hold tensors, ` +
      "containers, numbers, text and argument namespaces, and nothing in it is run. Where you trust the file, load it " +
      "with PyTorch and save its state dict alone",
  );
}

/** What a global makes of its arguments. */
export function call(named: PickleGlobal, given: PickleValue[]): PickleValue {
  const made = Object.hasOwn(calls, named.words) ? calls[named.words] : undefined;
  if (made === undefined) throw new PickleFault(`it calls ${named.words}, which is not read`);
  return made(given);
}

/** What a persistent id stands for: always a storage. */
export function storageOf(id: PickleValue): PickleStorage {
  const [kind, type, key, , length, view] = itemsOf(id, "a storage");
  if (kind !== "storage" || !(type instanceof PickleGlobal) || typeof key !== "string" || !isSize(length))
    throw new PickleFault("a storage is described in a way that is not known");
  const untyped = type.words === "torch.storage.UntypedStorage";
  if (!untyped && !isStorageClass(type)) throw new PickleFault(`a storage is of the class ${type.words}`);
  const dtype = untyped ? null : (storageTypes[type.name] as StoredType);
  if (view === undefined || view === null) return new PickleStorage(key, dtype, length, 0, length);
  const [, offset, size] = itemsOf(view, "a view of a storage");
  if (!isSize(offset) || !isSize(size) || dtype === null || offset + size > length)
    throw new PickleFault("a view of a storage is described in a way that is not known");
  return new PickleStorage(key, dtype, size, offset, length);
}

function tensorOf(
  storage: PickleValue | undefined,
  offset: PickleValue | undefined,
  shape: PickleValue | undefined,
  strides: PickleValue | undefined,
  type?: PickleValue,
): PickleTensor {
  if (!(storage instanceof PickleStorage)) throw new PickleFault("a tensor has no storage");
  const dtype = type instanceof PickleGlobal ? dtypeOf(type) : storage.dtype;
  if (dtype === null) throw new PickleFault("a tensor has a type that is not read");
  const sizes = sizesOf(shape, "the shape of a tensor");
  const steps = sizesOf(strides, "the strides of a tensor");
  if (!isSize(offset) || sizes.length !== steps.length || sizes.length > mostAxes)
    throw new PickleFault("a tensor has a shape, strides and an offset that do not fit each other");
  // A storage without a type is counted in bytes, and so is one that is seen as another type.
  const bytes = storage.length * (storage.dtype === null ? 1 : storedTypes[storage.dtype]);
  const room = Math.floor(bytes / storedTypes[dtype]);
  const span = spanOf({ shape: sizes, strides: steps });
  if (!(offset + span <= room)) {
    throw new PickleFault(
      `a tensor of shape [${sizes.join(", ")}] reaches to element ${offset + span} of a storage of ${room}`,
    );
  }
  const elements = elementsOf(sizes);
  if (elements > Math.max(room, mostRepeated))
    throw new PickleFault(
      `a tensor of shape [${sizes.join(", ")}] repeats a storage of ${room} elements too often`,
    );
  return new PickleTensor(storage, dtype, offset, sizes, steps);
}

function wrapped(tensor: PickleValue | undefined): PickleTensor {
  if (!(tensor instanceof PickleTensor)) throw new PickleFault("a parameter holds no tensor");
  return tensor;
}

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function sizesOf(value: PickleValue | undefined, what: string): number[] {
  const items = itemsOf(value, what);
  if (!items.every(isSize)) throw new PickleFault(`${what} is not made of whole numbers`);
  return items;
}

function itemsOf(value: PickleValue | undefined, what: string): PickleValue[] {
  if (value instanceof PickleTuple) return value.items;
  if (Array.isArray(value)) return value;
  throw new PickleFault(`${what} is no list`);
}

function dictionaryOf(pairs: PickleValue | undefined): PickleDictionary {
  const dictionary: PickleDictionary = new Map();
  for (const pair of pairs === undefined ? [] : itemsOf(pairs, "an ordered dictionary")) {
    const [key, value] = itemsOf(pair, "a pair of an ordered dictionary");
    if (key === undefined || value === undefined)
      throw new PickleFault("a pair of an ordered dictionary is not two");
    dictionary.set(key, value);
  }
  return dictionary;
}
