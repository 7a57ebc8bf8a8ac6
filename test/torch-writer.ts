/**
 * Writes small checkpoints as PyTorch does: its zip format and the one before version 1.6. PyTorch 2.14.1 reads what this
 * writes (`torch.load` with and without `weights_only`, checked by hand on every kind of file below but those that are
 * wrong on purpose).
 */
export type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Value[]
  | { tuple: Value[] }
  | { dictionary: [Value, Value][] }
  | { ordered: [Value, Value][] }
  | { namespace: [Value, Value][] }
  | { global: [module: string, name: string] }
  | { call: [module: string, name: string, ...given: Value[]] }
  | {
      /** An object of a class, as Python writes it: made of what is given, then filled and given its attributes. */
      object: [module: string, name: string];
      given?: Value[];
      entries?: [Value, Value][];
      items?: Value[];
      state?: Value;
    }
  | Storage
  | TorchTensor;

/** A run of bytes that tensors are views of. */
export class Storage {
  constructor(
    readonly key: string,
    /** `FloatStorage` and the like; `UntypedStorage` is counted in bytes. */
    readonly type: string,
    readonly bytes: Uint8Array,
    readonly itemSize: number,
    /** What the pickle claims, where that is not what is there. */
    readonly claimed = Math.floor(bytes.length / itemSize),
    /** As old files know them: the storage with this key from `offset` on. */
    readonly view: { key: string; offset: number; length: number } | null = null,
  ) {}
}

export class TorchTensor {
  constructor(
    readonly storage: Storage,
    readonly shape: number[],
    readonly options: { strides?: number[]; offset?: number; parameter?: boolean; dtype?: string } = {},
  ) {}
}

let keys = 0;
/** A contiguous float32 tensor on a storage of its own. */
export function floats(values: ArrayLike<number>, shape: number[] = [values.length]): TorchTensor {
  const bytes = new Uint8Array(Float32Array.from(values).buffer);
  return new TorchTensor(new Storage(String(keys++), "FloatStorage", bytes, 4), shape);
}

const rowMajor = (shape: readonly number[]) =>
  shape.map((_, axis) => shape.slice(axis + 1).reduce((product, extent) => product * Math.max(1, extent), 1));

/** One pickle of protocol 2. */
class Pickler {
  readonly #parts: Buffer[] = [Buffer.from([0x80, 2])];
  readonly storages = new Map<string, Storage>();

  constructor(private readonly legacy: boolean) {}

  end(): Buffer {
    return Buffer.concat([...this.#parts, Buffer.from(".")]);
  }

  private op(code: string | number[], ...rest: Buffer[]): void {
    this.#parts.push(typeof code === "string" ? Buffer.from(code, "latin1") : Buffer.from(code), ...rest);
  }

  private text(value: string): void {
    const bytes = Buffer.from(value);
    this.op("X", uint32(bytes.length), bytes);
  }

  private global(module: string, name: string): void {
    this.op(`c${module}\n${name}\n`);
  }

  private items(pairs: [Value, Value][]): void {
    if (pairs.length === 0) return;
    this.op("(");
    for (const pair of pairs) for (const value of pair) this.value(value);
    this.op("u");
  }

  private tuple(items: Value[]): void {
    this.op("(");
    for (const item of items) this.value(item);
    this.op("t");
  }

  private call(module: string, name: string, given: Value[]): void {
    this.global(module, name);
    this.tuple(given);
    this.op("R");
  }

  value(value: Value): void {
    if (value === null) this.op("N");
    else if (typeof value === "boolean") this.op([value ? 0x88 : 0x89]);
    else if (typeof value === "bigint") this.long(value);
    else if (typeof value === "number") this.number(value);
    else if (typeof value === "string") this.text(value);
    else if (value instanceof Uint8Array)
      this.call("_codecs", "encode", [Buffer.from(value).toString("latin1"), "latin1"]);
    else if (Array.isArray(value)) {
      this.op("]");
      this.op("(");
      for (const item of value) this.value(item);
      this.op("e");
    } else if (value instanceof Storage) this.storage(value);
    else if (value instanceof TorchTensor) this.tensor(value);
    else if ("tuple" in value) this.tuple(value.tuple);
    else if ("dictionary" in value) {
      this.op("}");
      this.items(value.dictionary);
    } else if ("ordered" in value) {
      this.call("collections", "OrderedDict", []);
      this.items(value.ordered);
    } else if ("namespace" in value) {
      this.global("argparse", "Namespace");
      this.op([0x29, 0x81]); // no arguments, new object
      this.op("}");
      this.items(value.namespace);
      this.op("b");
    } else if ("object" in value) this.object(value);
    else if ("global" in value) this.global(...value.global);
    else {
      const [module, name, ...given] = value.call;
      this.call(module, name, given);
    }
  }

  private object({
    object: [module, name],
    given = [],
    entries = [],
    items = [],
    state,
  }: Extract<Value, { object: unknown }>): void {
    this.global(module, name);
    this.tuple(given);
    this.op([0x81]); // new object
    this.items(entries);
    if (items.length > 0) {
      this.op("(");
      for (const item of items) this.value(item);
      this.op("e");
    }
    if (state === undefined) return;
    this.value(state);
    this.op("b");
  }

  private number(value: number): void {
    if (Number.isInteger(value) && Math.abs(value) < 2 ** 31 && !Object.is(value, -0)) {
      const bytes = Buffer.alloc(4);
      bytes.writeInt32LE(value);
      this.op("J", bytes);
    } else if (Number.isSafeInteger(value)) this.long(BigInt(value));
    else {
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleBE(value);
      this.op("G", bytes);
    }
  }

  private long(value: bigint): void {
    const bytes: number[] = [];
    for (let rest = BigInt.asUintN(128, value), index = 0; index < 16; index++, rest >>= 8n)
      bytes.push(Number(rest & 255n));
    this.op([0x8a, 16, ...bytes]);
  }

  private storage(storage: Storage): void {
    if (!this.storages.has(storage.key)) this.storages.set(storage.key, storage);
    const { type, key, claimed, view } = storage;
    const module = type === "UntypedStorage" ? "torch.storage" : "torch";
    const part = view === null ? null : { tuple: [view.key, view.offset, view.length] };
    this.tuple(["storage", { global: [module, type] }, key, "cpu", claimed, ...(this.legacy ? [part] : [])]);
    this.op("Q");
  }

  private tensor({ storage, shape, options }: TorchTensor): void {
    const { strides = rowMajor(shape), offset = 0, parameter = false, dtype } = options;
    const given: Value[] = [storage, offset, { tuple: shape }, { tuple: strides }, false, { ordered: [] }];
    const made: Value =
      dtype === undefined
        ? { call: ["torch._utils", "_rebuild_tensor_v2", ...given] }
        : { call: ["torch._utils", "_rebuild_tensor_v3", ...given, { global: ["torch", dtype] }] };
    this.value(
      parameter ? { call: ["torch._utils", "_rebuild_parameter", made, true, { ordered: [] }] } : made,
    );
  }
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

/** A pickle of one value, and the storages that it describes. */
export function pickle(value: Value, legacy = false): { bytes: Buffer; storages: Storage[] } {
  const pickler = new Pickler(legacy);
  pickler.value(value);
  return { bytes: pickler.end(), storages: [...pickler.storages.values()] };
}

export interface ZipFile {
  name: string;
  bytes: Uint8Array;
  /** What the directory says, where that is not the truth. */
  lies?: Partial<{ size: number; local: number; method: number; flags: number }>;
}

/** A zip file of stored entries, aligned as PyTorch aligns them; `large` writes every size as zip64 does. */
export function zip(files: readonly ZipFile[], { large = false }: { large?: boolean } = {}): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  const put = (...buffers: Buffer[]) => {
    for (const buffer of buffers) at += buffer.length;
    parts.push(...buffers);
  };
  for (const { name, bytes, lies = {} } of files) {
    const local = lies.local ?? at;
    const text = Buffer.from(name);
    const padding = (64 - ((at + 30 + text.length + 4) % 64)) % 64;
    const extra = Buffer.concat([
      Buffer.from("FB"),
      Buffer.from([padding & 255, padding >> 8]),
      Buffer.alloc(padding),
    ]);
    const size = lies.size ?? bytes.length;
    const method = lies.method ?? 0;
    const header = Buffer.alloc(30);
    header.writeUInt32LE(0x04034b50, 0);
    header.writeUInt16LE(lies.flags ?? 0, 6);
    header.writeUInt16LE(method, 8);
    header.writeUInt32LE(bytes.length, 18);
    header.writeUInt32LE(bytes.length, 22);
    header.writeUInt16LE(text.length, 26);
    header.writeUInt16LE(extra.length, 28);
    put(header, text, extra, Buffer.from(bytes));
    const entry = Buffer.alloc(46);
    const extra64 = large
      ? Buffer.concat([Buffer.from([1, 0, 24, 0]), uint64(size), uint64(size), uint64(local)])
      : Buffer.alloc(0);
    entry.writeUInt32LE(0x02014b50, 0);
    entry.writeUInt16LE(lies.flags ?? 0, 8);
    entry.writeUInt16LE(method, 10);
    entry.writeUInt32LE(large ? 0xffffffff : size, 20);
    entry.writeUInt32LE(large ? 0xffffffff : size, 24);
    entry.writeUInt16LE(text.length, 28);
    entry.writeUInt16LE(extra64.length, 30);
    entry.writeUInt32LE(large ? 0xffffffff : local, 42);
    directory.push(entry, text, extra64);
  }
  const start = at;
  put(...directory);
  const size = at - start;
  if (large) {
    const record = Buffer.alloc(56);
    record.writeUInt32LE(0x06064b50, 0);
    record.writeBigUInt64LE(44n, 4);
    for (const field of [24, 32]) record.writeBigUInt64LE(BigInt(files.length), field);
    record.writeBigUInt64LE(BigInt(size), 40);
    record.writeBigUInt64LE(BigInt(start), 48);
    const locator = Buffer.concat([Buffer.from("PK\x06\x07"), uint32(0), uint64(at), uint32(1)]);
    put(record, locator);
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  for (const field of [8, 10]) end.writeUInt16LE(large ? 0xffff : files.length, field);
  end.writeUInt32LE(large ? 0xffffffff : size, 12);
  end.writeUInt32LE(large ? 0xffffffff : start, 16);
  put(end);
  return Buffer.concat(parts);
}

/** The entries of a checkpoint in the zip format. */
export function torchZipFiles(value: Value, byteOrder: "little" | "big" = "little"): ZipFile[] {
  const { bytes, storages } = pickle(value);
  return [
    { name: "archive/data.pkl", bytes },
    { name: "archive/byteorder", bytes: Buffer.from(byteOrder) },
    ...storages.map((storage) => ({ name: `archive/data/${storage.key}`, bytes: storage.bytes })),
    { name: "archive/version", bytes: Buffer.from("3\n") },
  ];
}

export const torchZip = (value: Value): Buffer => zip(torchZipFiles(value));

/** A checkpoint in the format before version 1.6. */
export function torchLegacy(value: Value): Buffer {
  const main = pickle(value, true);
  const facts: Value = {
    dictionary: [
      ["protocol_version", 1001],
      ["little_endian", true],
      [
        "type_sizes",
        {
          dictionary: [
            ["short", 2],
            ["int", 4],
            ["long", 4],
          ],
        },
      ],
    ],
  };
  const sorted = [...main.storages].sort((a, b) => (a.key < b.key ? -1 : 1));
  return Buffer.concat([
    pickle(0x1950a86a20f9469cfc6cn).bytes,
    pickle(1001).bytes,
    pickle(facts).bytes,
    main.bytes,
    pickle(sorted.map(({ key }) => key)).bytes,
    ...sorted.flatMap(({ claimed, bytes }) => [uint64(claimed), Buffer.from(bytes)]),
  ]);
}
