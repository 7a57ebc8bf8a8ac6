import type { StoredType } from "../../native/number-formats.js";

/** A value of a pickle. Dictionaries are maps, whatever their keys, so that no key means anything to JavaScript. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly PickleValue[]
  | PickleTuple
  | PickleDictionary
  | PickleGlobal
  | PickleObject
  | NumpyType
  | NumpyArray
  | PickleStorage
  | PickleTensor;

export type PickleDictionary = Map<PickleValue, PickleValue>;

export class PickleTuple {
  constructor(readonly items: readonly PickleValue[]) {}
}

/** A class or function that a pickle names. It is a name and nothing more: `torch-globals.ts` says what it stands for. */
export class PickleGlobal {
  constructor(
    readonly module: string,
    readonly name: string,
    /** Whether it is one that checkpoints of plain data hold; what is made of any other is a `PickleObject`. */
    readonly known: boolean,
  ) {}

  get words(): string {
    return `${this.module}.${this.name}`;
  }
}

/**
 * Stands for an object of a class that is not run: what the file says of it is kept, and nothing is made of it. A
 * configuration, an Enum, a dictionary of a class of its own.
 */
export class PickleObject {
  /** What was set by keys, as of a dictionary. */
  readonly entries: PickleDictionary = new Map();
  /** What was appended, as to a list. */
  readonly items: PickleValue[] = [];
  /** Its attributes as the file gives them; each is kept as it is, for many objects may share one. */
  readonly states: PickleValue[] = [];

  constructor(
    readonly words: string,
    /** What its class or function was called with. */
    readonly given: readonly PickleValue[],
    /** The name that is not known, on which it depends. */
    readonly because: string = words,
  ) {}

  /** The dictionaries of its attributes: of a class with `__slots__` there are two, in a pair. */
  get attributes(): PickleDictionary[] {
    return this.states
      .flatMap((state) => (state instanceof PickleTuple && state.items.length === 2 ? state.items : [state]))
      .filter(isMap);
  }
}

const isMap = (value: PickleValue): value is PickleDictionary => value instanceof Map;

/** NumPy's description of an array's elements: a code such as `f8`, and the order of their bytes. */
export class NumpyType {
  littleEndian = true;
  constructor(readonly code: string) {}
}

/** An array of NumPy, whose numbers are not looked at. */
export class NumpyArray {
  shape: readonly PickleValue[] = [];
  type = "";
}

/** A run of numbers in the file that tensors are views of. Its type is null where only the tensors know it. */
export class PickleStorage {
  constructor(
    readonly key: string,
    readonly dtype: StoredType | null,
    /** In elements; in bytes where there is no type. */
    readonly length: number,
    /** Old files know storages that are a part of the storage with that key: where in it this one begins. */
    readonly start: number,
    /** Length of the storage with that key. */
    readonly whole: number,
  ) {}
}

export class PickleTensor {
  constructor(
    readonly storage: PickleStorage,
    readonly dtype: StoredType,
    /** Elements of the storage before the first. */
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}
}
