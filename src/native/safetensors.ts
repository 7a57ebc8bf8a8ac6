import { z } from "zod";
import { describe, expected, messageOf, TransferLimitsError } from "../common/errors.js";
import { type OpenFile, openRegularFile } from "../common/regular-file.js";
import { countKeys } from "./json-keys.js";
import { addon, settle } from "./load-addon.js";
import { type StoredType, storedTypes } from "./number-formats.js";
import { elementsOf, loadStored, readBytes, rowMajor, type StoredTensor } from "./stored-tensor.js";
import type { Tensor } from "./tensor.js";

/**
 * The header may not be longer than this. The reference implementation allows four times as much; but a header has some
 * 100 bytes a tensor, and reading it takes twenty times its length in memory.
 */
const longestHeader = 25_000_000;
/** Entries of `__metadata__`: programs write some hundreds at most. */
const mostMetadata = 10_000;

/** Names of types in a header. */
const typeNames = {
  F64: "float64",
  F32: "float32",
  F16: "float16",
  BF16: "bfloat16",
  F8_E4M3: "float8_e4m3fn",
  F8_E5M2: "float8_e5m2",
  F8_E8M0: "float8_e8m0fnu",
  I64: "int64",
  I32: "int32",
  I16: "int16",
  I8: "int8",
  U64: "uint64",
  U32: "uint32",
  U16: "uint16",
  U8: "uint8",
  BOOL: "bool",
  C64: "complex64",
} as const satisfies Record<string, StoredType>;
const nameOf = { float64: "F64", int64: "I64", float32: "F32", uint8: "U8" } as const;

/** An entry of a tensor has its type, its shape, and where it lies. */
const keysOfEntry = 3;
const size = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
const entrySchema = z.strictObject({
  dtype: z.enum(Object.keys(typeNames) as (keyof typeof typeNames)[]),
  shape: z.array(size).max(16),
  data_offsets: z.tuple([size, size]),
});

interface Located extends StoredTensor {
  readonly length: number;
}

/** An open safetensors file: its header is checked, its tensors are mapped from the disk when asked for. */
export interface SafetensorsFile {
  readonly path: string;
  readonly names: string[];
  readonly metadata: Record<string, string>;
  shape(name: string): number[];
  dtype(name: string): StoredType;
  /** Where the tensor lies in the file. */
  stored(name: string): StoredTensor;
  /**
   * The bytes of one tensor, or `length` of them from byte `start` on, read without LibTorch; little-endian, row-major.
   */
  bytes(name: string, start?: number, length?: number): Promise<Buffer>;
  /** Maps one tensor from the file: pages are read when touched and shared between processes. */
  tensor(name: string, device?: string): Promise<Tensor>;
}

/**
 * Reads the header of a safetensors file and checks all of it: lengths, types, overlaps and gaps.
 *
 * @throws `BAD_CHECKPOINT`, with the file's name and what is wrong.
 */
export async function readSafetensors(path: string): Promise<SafetensorsFile> {
  const refuse = (reason: string, cause?: unknown) =>
    new TransferLimitsError("BAD_CHECKPOINT", `${path} is not a sound safetensors file: ${reason}`, {
      cause,
    });
  const { header, dataStart, dataLength } = await readHeader(path, refuse);
  const metadata = header.__metadata__ ?? {};
  if (!isTextTable(metadata)) throw refuse("__metadata__ is not a table of strings");

  const locations = new Map<string, Located>();
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    if (!isSmall(value)) throw refuse(`the entry of ${describe(name)} has more than an entry has`);
    const entry = entrySchema.safeParse(value);
    if (!entry.success)
      throw refuse(`the entry of ${describe(name)} is malformed: ${z.prettifyError(entry.error)}`);
    const { shape, data_offsets: offsets } = entry.data;
    const dtype = typeNames[entry.data.dtype];
    const length = elementsOf(shape) * storedTypes[dtype];
    if (offsets[1] - offsets[0] !== length || offsets[1] > dataLength) {
      throw refuse(
        `${describe(name)} (${dtype} [${shape.join(", ")}]) needs ${length} bytes, but its offsets are ` +
          `${offsets[0]} to ${offsets[1]} of ${dataLength}`,
      );
    }
    const offset = dataStart + offsets[0];
    locations.set(name, { path, offset, length, dtype, shape, strides: rowMajor(shape), littleEndian: true });
  }
  const ordered = [...locations.values()].sort((a, b) => a.offset - b.offset || a.length - b.length);
  let end = dataStart;
  for (const location of ordered) {
    if (location.offset !== end) throw refuse("its tensors overlap or leave gaps");
    end += location.length;
  }
  if (end !== dataStart + dataLength)
    throw refuse(`${dataStart + dataLength - end} bytes belong to no tensor`);

  const locate = (name: string): Located => {
    const location = locations.get(name);
    if (!location) throw new TransferLimitsError("BAD_CHECKPOINT", `${path} has no tensor ${describe(name)}`);
    return location;
  };
  return {
    path,
    names: [...locations.keys()],
    metadata,
    shape: (name) => [...locate(name).shape],
    dtype: (name) => locate(name).dtype,
    bytes: async (name, start = 0, length = locate(name).length - start) => {
      const location = locate(name);
      const inside = [start, length].every((value) => Number.isSafeInteger(value) && value >= 0);
      if (!inside || start + length > location.length) {
        throw expected(`a range within the ${location.length} bytes of ${describe(name)}`, "bytes", [
          start,
          length,
        ]);
      }
      return readBytes(path, location.offset + start, length);
    },
    stored: (name) => locate(name),
    tensor: (name, device = "cpu") => loadStored(locate(name), { device }),
  };
}

/** Whether a value is a table of texts. Checked by hand, for there may be a million of them. */
function isTextTable(value: unknown): value is Record<string, string> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((text) => typeof text === "string");
}

/** Whether a value may be the entry of a tensor: of few parts, none of which is long or deep. */
function isSmall(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return true;
  const parts = Object.values(value);
  return parts.length <= 8 && parts.every((part) => !Array.isArray(part) || isRow(part));
}

const isRow = (items: readonly unknown[]): boolean =>
  items.length <= 64 && items.every((item) => typeof item !== "object");

async function readHeader(path: string, refuse: (reason: string, cause?: unknown) => TransferLimitsError) {
  let opened: OpenFile;
  try {
    opened = await openRegularFile(path);
  } catch (error) {
    throw new TransferLimitsError("BAD_CHECKPOINT", `${path} cannot be opened: ${messageOf(error)}`, {
      cause: error,
    });
  }
  const { file, size: fileLength } = opened;
  try {
    if (fileLength < 8) throw refuse(`it has ${fileLength} bytes, fewer than the 8 of the header's length`);
    const prefix = Buffer.alloc(8);
    await file.read(prefix, 0, 8, 0);
    const headerLength = Number(prefix.readBigUInt64LE());
    if (headerLength > longestHeader && headerLength <= fileLength - 8)
      throw refuse(`its header has ${headerLength} bytes, more than ${longestHeader}`);
    if (headerLength > fileLength - 8) {
      throw refuse(`its header claims ${headerLength} bytes, but the file has ${fileLength}`);
    }
    const bytes = Buffer.alloc(headerLength);
    await file.read(bytes, 0, headerLength, 8);
    const { outer, inner } = countKeys(bytes);
    if (inner > keysOfEntry * outer + mostMetadata) {
      throw refuse(
        `its header has ${inner} keys inside of ${outer} entries: more than ${keysOfEntry} of each tensor and ` +
          `${mostMetadata} of metadata`,
      );
    }
    let header: unknown;
    try {
      header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    } catch (error) {
      throw refuse(`its header is not JSON: ${messageOf(error)}`, error);
    }
    if (typeof header !== "object" || header === null || Array.isArray(header)) {
      throw refuse("its header is not a JSON object");
    }
    return {
      header: header as Record<string, unknown>,
      dataStart: 8 + headerLength,
      dataLength: fileLength - 8 - headerLength,
    };
  } finally {
    await file.close();
  }
}

/** Writes tensors as safetensors: complete or absent. Names are kept in the order given. */
export async function writeSafetensors(
  path: string,
  tensors: Record<string, Tensor>,
  metadata: Record<string, string> = {},
): Promise<void> {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let offset = 0;
  for (const [name, tensor] of Object.entries(tensors)) {
    const length = elementsOf(tensor.shape) * storedTypes[tensor.dtype];
    header[name] = {
      dtype: nameOf[tensor.dtype],
      shape: tensor.shape,
      data_offsets: [offset, offset + length],
    };
    offset += length;
  }
  let json = JSON.stringify(header);
  json += " ".repeat((8 - (Buffer.byteLength(json) % 8)) % 8); // so that every tensor starts on 8 bytes
  const bytes = Buffer.from(json);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(bytes.length));
  const handles = Object.values(tensors).map((tensor) => tensor.handle);
  await settle(addon().tensorsWrite(path, Buffer.concat([prefix, bytes]), handles));
}
