import { describeArray, PickleFault } from "./known-values.js";
import { instruction as op } from "./pickle-instructions.js";
import {
  NumpyArray,
  NumpyType,
  PickleGlobal,
  PickleObject,
  PickleStorage,
  PickleTensor,
  PickleTuple,
  type PickleValue,
} from "./pickle-values.js";
import { call, globalNamed, storageOf } from "./torch-globals.js";

/** The pickle goes on after the bytes that were given. */
export class PickleCutShort extends PickleFault {
  constructor() {
    super("its pickle is cut short");
  }
}

/** More than any checkpoint of networks has; they keep a small hostile file from filling the memory. */
const limits = {
  operations: 20_000_000,
  containers: 1_000_000,
  stack: 1_000_000,
  memo: 4_000_000,
  /** As long as the longest pickle that is read. */
  textBytes: 2 ** 28,
  longBytes: 256,
  /** Of names that are not known, so many are told. */
  names: 100,
};

/**
 * What calls may take together, in elements, bytes and characters: a pickle says a long text once and may ask a
 * thousand times what bytes it stands for.
 */
const mostSpent = (bytes: number): number => 1_000_000 + 8 * bytes;

const utf8 = new TextDecoder("utf-8", { fatal: true });

export interface Unpickled {
  value: PickleValue;
  /** Every storage that the pickle describes, once. */
  storages: PickleStorage[];
  /** Classes and functions that it names and that are not known here, the first of them. */
  unknown: string[];
  /** The position after the pickle. */
  end: number;
}

/**
 * Reads one pickle of protocol 2 to 5 (PEP 307, 3154, 574) as plain data. A pickle is a program for a small stack
 * machine; this machine has only the instructions that build data, and of the calls that a pickle may ask for only
 * those of `torch-globals.ts`. Nothing that a file names is ever looked up or run.
 *
 * @throws `PickleFault`; `PickleCutShort` where more bytes are needed
 */
export function unpickle(bytes: Buffer, start = 0): Unpickled {
  return new Machine(bytes, start).run();
}

class Machine {
  #stack: PickleValue[] = [];
  /** The stacks below the open marks. */
  readonly #below: PickleValue[][] = [];
  readonly #memo = new Map<number, PickleValue>();
  readonly #storages = new Map<string, PickleStorage>();
  readonly #unknown = new Set<string>();
  #operations = 0;
  #containers = 0;
  #left: number;

  constructor(
    private readonly bytes: Buffer,
    private at: number,
  ) {
    this.#left = mostSpent(bytes.length - at);
  }

  run(): Unpickled {
    for (;;) {
      if (++this.#operations > limits.operations) throw new PickleFault("its pickle does not come to an end");
      const code = this.uint8();
      if (code === op.stop) {
        if (this.#below.length > 0 || this.#stack.length !== 1)
          throw new PickleFault("its pickle ends in the middle of a value");
        return {
          value: this.pop(),
          storages: [...this.#storages.values()],
          unknown: [...this.#unknown],
          end: this.at,
        };
      }
      this.step(code);
    }
  }

  private step(code: number): void {
    const work = this.#work[code];
    if (work === undefined) {
      throw new PickleFault(
        `its pickle has the instruction 0x${code.toString(16)} at byte ${this.at - 1}, which is not one for plain data`,
      );
    }
    work();
  }

  /** What each instruction does. Values are taken in the opposite order of that in which they were pushed. */
  readonly #work: Readonly<Record<number, () => void>> = {
    [op.protocol]: () => {
      const version = this.uint8();
      if (version < 2 || version > 5)
        throw new PickleFault(`its pickle is of protocol ${version}, not 2 to 5`);
    },
    [op.frame]: () => void this.take(8),
    [op.mark]: () => {
      if (this.#below.length >= limits.stack) throw new PickleFault("its pickle is nested too deeply");
      this.#below.push(this.#stack);
      this.#stack = [];
    },
    [op.pop]: () => void (this.#stack.length === 0 ? this.items() : this.pop()),
    [op.popMark]: () => void this.items(),
    [op.duplicate]: () => this.push(this.top()),

    [op.none]: () => this.push(null),
    [op.newTrue]: () => this.push(true),
    [op.newFalse]: () => this.push(false),
    [op.binInt]: () => this.push(this.take(4).readInt32LE()),
    [op.binInt1]: () => this.push(this.uint8()),
    [op.binInt2]: () => this.push(this.take(2).readUInt16LE()),
    [op.long1]: () => this.push(this.long(this.uint8())),
    [op.long4]: () => this.push(this.long(this.take(4).readInt32LE())),
    [op.binFloat]: () => this.push(this.take(8).readDoubleBE()),
    [op.shortBinUnicode]: () => this.push(this.text(this.uint8())),
    [op.binUnicode]: () => this.push(this.text(this.uint32())),
    [op.binUnicode8]: () => this.push(this.text(this.uint64())),
    [op.shortBinString]: () => this.push(this.text(this.uint8(), "latin1")),
    [op.binString]: () => this.push(this.text(this.uint32(), "latin1")),
    [op.shortBinBytes]: () => this.push(this.blob(this.uint8())),
    [op.binBytes]: () => this.push(this.blob(this.uint32())),
    [op.binBytes8]: () => this.push(this.blob(this.uint64())),
    [op.byteArray8]: () => this.push(this.blob(this.uint64())),

    [op.emptyTuple]: () => this.push(this.counted(new PickleTuple([]))),
    [op.tuple1]: () => this.pushTuple(1),
    [op.tuple2]: () => this.pushTuple(2),
    [op.tuple3]: () => this.pushTuple(3),
    [op.tuple]: () => this.push(this.counted(new PickleTuple(this.items()))),
    [op.emptyList]: () => this.push(this.counted([])),
    [op.emptySet]: () => this.push(this.counted([])),
    [op.list]: () => this.push(this.counted(this.items())),
    [op.frozenSet]: () => this.push(this.counted(this.items())),
    [op.append]: () => this.appendAll([this.pop()]),
    [op.appends]: () => this.appendAll(this.items()),
    [op.addItems]: () => this.appendAll(this.items()),
    [op.emptyDictionary]: () => this.push(this.counted(new Map())),
    [op.dictionary]: () => {
      const items = this.items();
      this.push(this.counted(new Map()));
      this.setAll(items);
    },
    [op.setItem]: () => {
      const value = this.pop();
      this.setAll([this.pop(), value]);
    },
    [op.setItems]: () => this.setAll(this.items()),

    [op.binPut]: () => this.remember(this.uint8()),
    [op.longBinPut]: () => this.remember(this.uint32()),
    [op.memoize]: () => this.remember(this.#memo.size),
    [op.binGet]: () => this.push(this.remembered(this.uint8())),
    [op.longBinGet]: () => this.push(this.remembered(this.uint32())),

    [op.global]: () => {
      const module = this.line();
      this.push(this.named(module, this.line()));
    },
    [op.stackGlobal]: () => {
      const name = this.pop();
      const module = this.pop();
      if (typeof name !== "string" || typeof module !== "string")
        throw new PickleFault("its pickle names a class by something that is no text");
      this.push(this.named(module, name));
    },
    [op.reduce]: () => this.pushCalled(),
    [op.newObject]: () => this.pushCalled(),
    [op.newObjectExtended]: () => {
      const keywords = this.pop();
      if (!(keywords instanceof Map))
        throw new PickleFault("its pickle calls a class with what is no dictionary");
      this.pushCalled(keywords);
    },
    [op.build]: () => this.build(),
    [op.binPersistentId]: () => this.push(this.storage()),
  };

  private pushTuple(length: number): void {
    const items = Array.from({ length }, () => this.pop()).reverse();
    this.push(this.counted(new PickleTuple(items)));
  }

  private named(module: string, name: string): PickleGlobal {
    const found = globalNamed(module, name);
    if (!found.known && this.#unknown.size < limits.names) this.#unknown.add(found.words);
    return found;
  }

  private pushCalled(...keywords: PickleValue[]): void {
    const given = this.pop();
    const made = this.pop();
    if (!(given instanceof PickleTuple) || !(made instanceof PickleGlobal || made instanceof PickleObject))
      throw new PickleFault("its pickle calls something that is no function");
    this.push(this.counted(this.calledWith(made, given.items, keywords)));
  }

  private calledWith(
    made: PickleGlobal | PickleObject,
    given: readonly PickleValue[],
    keywords: readonly PickleValue[],
  ): PickleValue {
    if (made instanceof PickleGlobal && keywords.length === 0) return call(made, given, this.spend);
    return new PickleObject(made.words, [
      ...keywords,
      ...(given.length === 0 ? [] : [new PickleTuple(given)]),
    ]);
  }

  private readonly spend = (units: number): void => {
    this.#left -= units;
    if (this.#left < 0)
      throw new PickleFault("its pickle asks for more work than a file of its size can need");
  };

  /** Attributes: kept of an object; those of dictionaries and parameters are PyTorch's own affair. */
  private build(): void {
    const state = this.pop();
    const target = this.top();
    const parts = state instanceof PickleTuple ? state.items : [];
    if (target instanceof PickleObject) target.states.push(state);
    else if (target instanceof NumpyType) target.littleEndian = parts[1] !== ">";
    else if (target instanceof NumpyArray) describeArray(target, parts[2], parts[1]);
    else if (!(target instanceof Map || target instanceof PickleTensor || Array.isArray(target)))
      throw new PickleFault("its pickle sets attributes of something that has none");
  }

  /** One storage a key, whatever a file says of it a second time. */
  private storage(): PickleStorage | PickleObject {
    const storage = storageOf(this.pop());
    if (!(storage instanceof PickleStorage)) return this.counted(storage);
    const id = `${storage.key}/${storage.start}/${storage.length}/${storage.dtype}`;
    const known = this.#storages.get(id);
    if (known) return known;
    this.counted(storage);
    this.#storages.set(id, storage);
    return storage;
  }

  private setAll(items: PickleValue[]): void {
    const top = this.top();
    const target = top instanceof PickleObject ? top.entries : top;
    if (!(target instanceof Map))
      throw new PickleFault("its pickle sets an item of something that is no dictionary");
    if (items.length % 2 !== 0)
      throw new PickleFault("its pickle has a dictionary with a key without a value");
    for (let index = 0; index < items.length; index += 2)
      target.set(items[index] as PickleValue, items[index + 1] as PickleValue);
  }

  private appendAll(items: PickleValue[]): void {
    const top = this.top();
    const list = top instanceof PickleObject ? top.items : top;
    if (!Array.isArray(list)) throw new PickleFault("its pickle appends to something that is no list");
    for (const item of items) list.push(item);
  }

  private counted<Value extends PickleValue>(value: Value): Value {
    if (++this.#containers > limits.containers)
      throw new PickleFault(`it has more than ${limits.containers} values`);
    return value;
  }

  private push(value: PickleValue): void {
    if (this.#stack.length >= limits.stack) throw new PickleFault("its pickle is nested too deeply");
    this.#stack.push(value);
  }

  private pop(): PickleValue {
    const value = this.#stack.pop();
    if (value === undefined) throw new PickleFault("its pickle takes a value where there is none");
    return value;
  }

  private top(): PickleValue {
    const value = this.#stack.at(-1);
    if (value === undefined) throw new PickleFault("its pickle takes a value where there is none");
    return value;
  }

  /** What was pushed since the last mark. */
  private items(): PickleValue[] {
    const items = this.#stack;
    const below = this.#below.pop();
    if (below === undefined) throw new PickleFault("its pickle closes what it did not open");
    this.#stack = below;
    return items;
  }

  private remember(index: number): void {
    if (this.#memo.size >= limits.memo) throw new PickleFault(`it has more than ${limits.memo} values`);
    this.#memo.set(index, this.top());
  }

  private remembered(index: number): PickleValue {
    const value = this.#memo.get(index);
    if (value === undefined) throw new PickleFault("its pickle refers to a value that is not there");
    return value;
  }

  private take(length: number): Buffer {
    if (length > this.bytes.length - this.at) throw new PickleCutShort();
    const part = this.bytes.subarray(this.at, this.at + length);
    this.at += length;
    return part;
  }

  private uint8(): number {
    return this.take(1)[0] as number;
  }

  private uint32(): number {
    return this.take(4).readUInt32LE();
  }

  private uint64(): number {
    const value = this.take(8).readBigUInt64LE();
    if (value > BigInt(limits.textBytes)) throw new PickleFault(`its pickle has a text of ${value} bytes`);
    return Number(value);
  }

  private line(): string {
    const end = this.bytes.indexOf(0x0a, this.at);
    if (end < 0) throw new PickleCutShort();
    const text = this.text(end - this.at);
    this.at += 1;
    return text;
  }

  private text(length: number, encoding: "utf8" | "latin1" = "utf8"): string {
    const bytes = this.limited(length);
    if (encoding === "latin1") return bytes.toString("latin1");
    try {
      return utf8.decode(bytes);
    } catch {
      throw new PickleFault("its pickle has a text that is not UTF-8");
    }
  }

  private blob(length: number): Uint8Array {
    return this.limited(length);
  }

  private limited(length: number): Buffer {
    if (length > limits.textBytes) throw new PickleFault(`its pickle has a text of ${length} bytes`);
    return this.take(length);
  }

  /** A whole number in two's complement. */
  private long(length: number): number | bigint {
    if (length < 0 || length > limits.longBytes)
      throw new PickleFault(`its pickle has a number of ${length} bytes`);
    const bytes = this.take(length);
    if (length === 0) return 0;
    const magnitude = BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);
    const value = BigInt.asIntN(8 * length, magnitude);
    const small = Number(value);
    return Number.isSafeInteger(small) ? small : value;
  }
}
