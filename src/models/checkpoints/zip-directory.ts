import type { OpenedFile } from "./opened-file.js";

/** Where the bytes of one entry lie in the file. */
export interface ZipEntry {
  offset: number;
  size: number;
  /** Bytes that it takes in the file. */
  inFile: number;
  /** Its bytes are not those that were put in; it cannot be read. */
  compressed: boolean;
}

const endRecord = 0x06054b50;
const endRecord64 = 0x06064b50;
const endLocator64 = 0x07064b50;
const centralHeader = 0x02014b50;
const localHeader = 0x04034b50;
const endRecordSize = 22;
const longestComment = 65_535;
const largestDirectory = 64 * 2 ** 20;

interface Header {
  name: string;
  method: number;
  flags: number;
  compressed: number;
  size: number;
  local: number;
}

/**
 * The entries of a zip file as PyTorch writes them: stored without compression, one disk, zip64 where sizes need it.
 * Every length and offset is checked against the file before it is believed; entries that overlap, names that climb
 * out of a folder, and encryption are refused.
 *
 * Of zip this is the small part that checkpoints use. A library for all of it would decompress and would not say where
 * an entry's bytes lie, which is what lets a tensor be read, or mapped, in place.
 *
 * @throws `BAD_CHECKPOINT`
 */
export async function readZipDirectory(file: OpenedFile): Promise<Map<string, ZipEntry>> {
  const { count, offset, size } = await locateDirectory(file);
  const headers = parseDirectory(await file.read(offset, size), count, file);
  headers.sort((a, b) => a.local - b.local);
  return file.reading(async (read) => {
    const entries = new Map<string, ZipEntry>();
    for (const [index, header] of headers.entries()) {
      const next = headers[index + 1]?.local ?? offset;
      if (entries.has(header.name))
        throw file.refuse(`it has two entries named ${JSON.stringify(header.name)}`);
      entries.set(header.name, await placeEntry(file, read, header, next));
    }
    return entries;
  });
}

async function locateDirectory(file: OpenedFile): Promise<{ count: number; offset: number; size: number }> {
  const tailStart = Math.max(0, file.size - endRecordSize - longestComment);
  const tail = await file.read(tailStart, file.size - tailStart);
  let at = tail.length - endRecordSize;
  while (
    at >= 0 &&
    !(tail.readUInt32LE(at) === endRecord && at + endRecordSize + tail.readUInt16LE(at + 20) === tail.length)
  )
    at--;
  if (at < 0) {
    throw file.refuse(
      "it begins as a zip file but has no directory at its end; it was cut short, perhaps while it was downloaded",
    );
  }
  const record = {
    disks: [tail.readUInt16LE(at + 4), tail.readUInt16LE(at + 6)],
    count: tail.readUInt16LE(at + 10),
    size: tail.readUInt32LE(at + 12),
    offset: tail.readUInt32LE(at + 16),
  };
  const end = tailStart + at;
  const needs64 = record.count === 0xffff || record.size === 0xffffffff || record.offset === 0xffffffff;
  const found = needs64 ? await locateDirectory64(file, end) : { ...record, end };
  if (record.disks.some((disk) => disk !== 0 && disk !== 0xffff))
    throw file.refuse("it spans several zip disks");
  if (found.size > largestDirectory) throw file.refuse(`its directory claims ${found.size} bytes`);
  if (found.offset + found.size > found.end)
    throw file.refuse(
      `its directory, bytes ${found.offset} to ${found.offset + found.size}, lies beyond its end`,
    );
  return found;
}

async function locateDirectory64(file: OpenedFile, end: number) {
  if (end < 20) throw file.refuse("its zip64 directory is missing");
  const locator = await file.read(end - 20, 20);
  if (locator.readUInt32LE(0) !== endLocator64) throw file.refuse("its zip64 directory is missing");
  const at = safe(locator.readBigUInt64LE(8), file);
  if (at > end - 20 - 56) throw file.refuse("its zip64 directory lies beyond its end");
  const record = await file.read(at, 56);
  if (record.readUInt32LE(0) !== endRecord64) throw file.refuse("its zip64 directory is malformed");
  return {
    count: safe(record.readBigUInt64LE(32), file),
    size: safe(record.readBigUInt64LE(40), file),
    offset: safe(record.readBigUInt64LE(48), file),
    end: at,
  };
}

function parseDirectory(bytes: Buffer, count: number, file: OpenedFile): Header[] {
  if (count * 46 > bytes.length)
    throw file.refuse(`its directory of ${bytes.length} bytes claims ${count} entries`);
  const headers: Header[] = [];
  let at = 0;
  for (let index = 0; index < count; index++) {
    if (at + 46 > bytes.length || bytes.readUInt32LE(at) !== centralHeader)
      throw file.refuse(`entry ${index} of its directory is malformed`);
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((field) =>
      bytes.readUInt16LE(at + field),
    ) as [number, number, number];
    const next = at + 46 + nameLength + extraLength + commentLength;
    if (next > bytes.length) throw file.refuse(`entry ${index} of its directory is cut short`);
    const nameEnd = at + 46 + nameLength;
    headers.push(
      withZip64(
        {
          name: entryName(bytes.subarray(at + 46, nameEnd), file),
          flags: bytes.readUInt16LE(at + 8),
          method: bytes.readUInt16LE(at + 10),
          compressed: bytes.readUInt32LE(at + 20),
          size: bytes.readUInt32LE(at + 24),
          local: bytes.readUInt32LE(at + 42),
        },
        bytes.subarray(nameEnd, nameEnd + extraLength),
        file,
      ),
    );
    at = next;
  }
  return headers;
}

function entryName(bytes: Buffer, file: OpenedFile): string {
  let name: string;
  try {
    name = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw file.refuse("the name of an entry is not UTF-8");
  }
  const parts = name.split("/");
  if (name.startsWith("/") || /[\\\0]/.test(name) || parts.includes("..") || parts.includes("."))
    throw file.refuse(`it has an entry with the name ${JSON.stringify(name.slice(0, 80))}`);
  return name;
}

/** Fields that are too large for 32 bits stand in an extra field, in this order, those that are needed. */
function withZip64(header: Header, extra: Buffer, file: OpenedFile): Header {
  const large = (["size", "compressed", "local"] as const).filter((field) => header[field] === 0xffffffff);
  if (large.length === 0) return header;
  for (let at = 0; at + 4 <= extra.length; ) {
    const [id, length] = [extra.readUInt16LE(at), extra.readUInt16LE(at + 2)];
    const field = extra.subarray(at + 4, at + 4 + length);
    if (id === 1 && field.length >= 8 * large.length) {
      const values = large.map(
        (name, index) => [name, safe(field.readBigUInt64LE(8 * index), file)] as const,
      );
      return { ...header, ...Object.fromEntries(values) };
    }
    at += 4 + length;
  }
  throw file.refuse(`the size of ${JSON.stringify(header.name)} is missing`);
}

async function placeEntry(
  file: OpenedFile,
  read: (offset: number, length: number) => Promise<Buffer>,
  header: Header,
  next: number,
): Promise<ZipEntry> {
  const { name, flags, method, compressed, size, local } = header;
  const words = JSON.stringify(name.slice(0, 80));
  if (flags & 1) throw file.refuse(`its entry ${words} is encrypted`);
  if (local > file.size - 30) throw file.refuse(`its entry ${words} lies beyond its end`);
  const bytes = await read(local, 30);
  if (bytes.readUInt32LE(0) !== localHeader)
    throw file.refuse(`its entry ${words} is not where its directory says`);
  const offset = local + 30 + bytes.readUInt16LE(26) + bytes.readUInt16LE(28);
  if (offset + compressed > next) throw file.refuse(`its entry ${words} overlaps what follows it`);
  return { offset, size, inFile: compressed, compressed: method !== 0 || compressed !== size };
}

function safe(value: bigint, file: OpenedFile): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw file.refuse(`a size of ${value} bytes is claimed`);
  return Number(value);
}
