import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";
import { inflateRawSync } from "node:zlib";

const endRecord = 0x06054b50;
const centralHeader = 0x02014b50;
const localHeader = 0x04034b50;
/** The end record with the longest comment, and descriptions of modules: of the largest models a few megabytes. */
const longestEnd = 22 + 65_535;
const largest = 2 ** 26;

type Read = (offset: number, length: number) => Buffer | null;

/** Where the entry whose name ends so begins, how long it is in the file, and whether it is compressed. */
function entryIn(directory: Buffer, ending: string) {
  for (let at = 0; at + 46 <= directory.length && directory.readUInt32LE(at) === centralHeader; ) {
    const nameEnd = at + 46 + directory.readUInt16LE(at + 28);
    if (directory.toString("latin1", at + 46, nameEnd).endsWith(ending))
      return {
        offset: directory.readUInt32LE(at + 42),
        size: directory.readUInt32LE(at + 20),
        compressed: directory.readUInt16LE(at + 10) !== 0,
      };
    at = nameEnd + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
  }
  return null;
}

/** The pickle that describes a TorchScript file's modules, as its bytes; null where the file has none that can be found. */
function descriptionIn(read: Read, size: number): Buffer | null {
  const end = read(Math.max(0, size - longestEnd), Math.min(size, longestEnd));
  const at = end?.lastIndexOf(Buffer.from([0x50, 0x4b, 0x05, 0x06])) ?? -1;
  if (end === null || at < 0 || at + 22 > end.length || end.readUInt32LE(at) !== endRecord) return null;
  const directory = read(end.readUInt32LE(at + 16), end.readUInt32LE(at + 12));
  const entry = directory && entryIn(directory, "/data.pkl");
  const header = entry && read(entry.offset, 30);
  if (!entry || !header || header.readUInt32LE(0) !== localHeader) return null;
  const bytes = read(entry.offset + 30 + header.readUInt16LE(26) + header.readUInt16LE(28), entry.size);
  return bytes && (entry.compressed ? inflateRawSync(bytes, { maxOutputLength: largest }) : bytes);
}

function holdsClass(path: string, name: string): boolean {
  const file = openSync(path, "r");
  try {
    const { size } = fstatSync(file);
    const read: Read = (offset, length) => {
      if (length > largest || offset + length > size) return null;
      const bytes = Buffer.alloc(length);
      return readSync(file, bytes, 0, length, offset) === length ? bytes : null;
    };
    return descriptionIn(read, size)?.includes(name) ?? false;
  } finally {
    closeSync(file);
  }
}

const known = new Map<string, boolean>();

/**
 * Whether a module of a class with this in its name stands in a TorchScript file, told from what the file says of its
 * modules: nothing is run. False for a file that cannot be read, which is refused where it is loaded.
 */
export function hasModuleOf(path: string, name: string): boolean {
  try {
    const status = statSync(path);
    if (!status.isFile()) return false;
    const key = `${path}\n${name}\n${status.size}\n${status.mtimeMs}`;
    const found = known.get(key) ?? holdsClass(path, name);
    known.set(key, found);
    return found;
  } catch {
    return false;
  }
}
