import { type StoredType, storedTypes } from "../../native/number-formats.js";
import { elementsOf, spanOf } from "../../native/stored-tensor.js";
import {
  type Call,
  DependsOnUnknown,
  itemsOf,
  known,
  PickleFault,
  plainCalls,
  plainNames,
  type Spend,
} from "./known-values.js";
import {
  PickleGlobal,
  PickleObject,
  PickleStorage,
  PickleTensor,
  PickleTuple,
  type PickleValue,
} from "./pickle-values.js";

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

/** What a checkpoint may call. */
const calls: Readonly<Record<string, Call>> = {
  ...plainCalls,
  "torch.Size": ([sizes], spend) => {
    const items = itemsOf(sizes ?? [], "a torch.Size");
    spend(items.length);
    return new PickleTuple([...items]);
  },
  "torch.device": ([type, index]) => {
    if (typeof type !== "string" || type.length > 40) throw new DependsOnUnknown("a device");
    return typeof index === "number" ? `${type}:${index}` : type;
  },
  "torch._utils._rebuild_tensor": ([storage, offset, shape, strides]) =>
    tensorOf(storage, offset, shape, strides),
  "torch._utils._rebuild_tensor_v2": ([storage, offset, shape, strides, , , metadata]) => {
    if (metadata instanceof Map && metadata.size > 0)
      throw new DependsOnUnknown("a conjugate or negative view");
    return tensorOf(storage, offset, shape, strides);
  },
  "torch._utils._rebuild_tensor_v3": ([storage, offset, shape, strides, , , dtype]) =>
    tensorOf(storage, offset, shape, strides, dtype),
  "torch._utils._rebuild_parameter": ([tensor]) => wrapped(tensor),
  "torch._utils._rebuild_parameter_with_state": ([tensor]) => wrapped(tensor),
  /** A subclass of Tensor: the function that makes it, its class, the function's arguments, its attributes. */
  "torch._tensor._rebuild_from_type_v2": ([make, type, given], spend) => {
    known(type);
    if (!(known(make) instanceof PickleGlobal))
      throw new PickleFault("a tensor is made by something that is no function");
    return wrapped(call(make as PickleGlobal, itemsOf(given, "the arguments of a tensor"), spend));
  },
};

/** Names that a checkpoint may mention without calling them. */
const mentioned = new Set([
  ...plainNames,
  "torch.Tensor",
  "torch.nn.parameter.Parameter",
  "torch.nn.parameter.Buffer",
  "torch.storage.UntypedStorage",
  "torch.storage.TypedStorage",
  "torch.strided",
  "torch.contiguous_format",
]);

/**
 * What only a file asks for that wants to run something. Nothing of it would be run here either; but a file that would
 * take over whoever opens it with PyTorch is no source of weights.
 */
const hostile = new RegExp(
  "^(?:(?:os|posix|nt|subprocess|_posixsubprocess|pty|socket|shutil|runpy|ctypes|webbrowser|importlib)" +
    "\\.(?!_Environ$|PathLike$|stat_result$)|(?:builtins|__builtin__)\\.(?:eval|exec|execfile|compile|__import__|open|" +
    "input|breakpoint)$|sys\\.(?:exit|modules|settrace)|_?pickle\\.|[pb]db\\.|timeit\\.|code\\.(?:interact|Interactive))",
);

/** No class or function has a longer name. */
const longestName = 1000;

const isStorageClass = ({ module, name }: PickleGlobal): boolean =>
  (module === "torch" || module === "torch.cuda") && Object.hasOwn(storageTypes, name);

const dtypeOf = ({ module, name }: PickleGlobal): StoredType | null =>
  module === "torch" && Object.hasOwn(storedTypes, name) ? (name as StoredType) : null;

/**
 * What a name in a pickle stands for. One that is not known here is kept as a name: what it would make is not made.
 *
 * @throws what the pickle asked for, where that is there to run something
 */
export function globalNamed(module: string, name: string): PickleGlobal {
  if (module.length + name.length > longestName)
    throw new PickleFault(`its pickle names a class in ${module.length + name.length} characters`);
  const words = `${module}.${name}`;
  if (hostile.test(words)) {
    throw new PickleFault(
      `it asks for ${JSON.stringify(words.slice(0, 120))}, which is refused: whoever opens it with PyTorch runs that. ` +
        "Nothing in a file is run here, and a file that asks for it is not to be trusted",
    );
  }
  const found = new PickleGlobal(module, name, false);
  const isKnown =
    Object.hasOwn(calls, words) || mentioned.has(words) || isStorageClass(found) || dtypeOf(found) !== null;
  return isKnown ? new PickleGlobal(module, name, true) : found;
}

/** What a global makes of its arguments: of a name that is not known an object that stands for it. */
export function call(named: PickleGlobal, given: readonly PickleValue[], spend: Spend): PickleValue {
  const { words } = named;
  const made = Object.hasOwn(calls, words) ? calls[words] : undefined;
  if (dtypeOf(named) !== null) throw new PickleFault(`it calls ${words}, which is no function`);
  if (made === undefined) return new PickleObject(words, given);
  try {
    return made(given, spend);
  } catch (error) {
    if (error instanceof DependsOnUnknown) return new PickleObject(words, given, error.message);
    throw error;
  }
}

/** What a persistent id stands for: a storage; in old files of whole models also a class. */
export function storageOf(id: PickleValue): PickleStorage | PickleObject {
  const [kind, type, key, , length, view] = itemsOf(id, "a storage");
  if (kind === "module" && type instanceof PickleGlobal) return new PickleObject(type.words, []);
  if (kind !== "storage" || !(type instanceof PickleGlobal) || typeof key !== "string" || !isSize(length))
    throw new PickleFault("a storage is described in a way that is not known");
  if (key.length > longestName) throw new PickleFault(`a storage is named in ${key.length} characters`);
  const untyped = type.words === "torch.storage.UntypedStorage";
  if (!untyped && !isStorageClass(type)) return new PickleObject(type.words, []);
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
  if (!(known(storage) instanceof PickleStorage)) throw new PickleFault("a tensor has no storage");
  return viewOf(storage as PickleStorage, offset, shape, strides, known(type));
}

function viewOf(
  storage: PickleStorage,
  offset: PickleValue | undefined,
  shape: PickleValue | undefined,
  strides: PickleValue | undefined,
  type: PickleValue | undefined,
): PickleTensor {
  const dtype = type instanceof PickleGlobal ? dtypeOf(type) : storage.dtype;
  if (dtype === null) throw new DependsOnUnknown("a type of numbers that is not read");
  const sizes = sizesOf(shape, "the shape of a tensor");
  const steps = sizesOf(strides, "the strides of a tensor");
  if (!isSize(offset) || sizes.length !== steps.length)
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
  if (!(known(tensor) instanceof PickleTensor)) throw new PickleFault("a parameter holds no tensor");
  return tensor as PickleTensor;
}

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** As many sizes as a tensor may have axes. Looked at only then: one list may be that of many tensors. */
function sizesOf(value: PickleValue | undefined, what: string): readonly number[] {
  const items = itemsOf(value, what);
  if (items.length > mostAxes) throw new PickleFault(`${what} has ${items.length} axes`);
  if (!items.map(known).every(isSize)) throw new PickleFault(`${what} is not made of whole numbers`);
  return items as readonly number[];
}
