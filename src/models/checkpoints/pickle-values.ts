import type { StoredType } from "../../native/stored-tensor.js";

/** A value of a pickle. Dictionaries are maps, whatever their keys, so that no key means anything to JavaScript. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | PickleTuple
  | PickleDictionary
  | PickleNamespace
  | PickleGlobal
  | PickleStorage
  | PickleTensor;

export type PickleDictionary = Map<PickleValue, PickleValue>;

export class PickleTuple {
  constructor(readonly items: PickleValue[]) {}
}

/** The attributes of an object that is known to be plain data, such as `argparse.Namespace`. */
export class PickleNamespace {
  readonly attributes: PickleDictionary = new Map();
}

/** A class or function that a pickle names. It is a name and nothing more: `torch-globals.ts` says what it stands for. */
export class PickleGlobal {
  constructor(
    readonly module: string,
    readonly name: string,
  ) {}

  get words(): string {
    return `${this.module}.${this.name}`;
  }
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
