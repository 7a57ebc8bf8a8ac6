import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";

/** Of an ELF file for 64 bits: what stands where in its header, and in one entry of its table of segments. */
const headerBytes = 64;
const segmentBytes = 56;
const machines: Readonly<Record<string, number>> = { x64: 62, arm64: 183 };

/**
 * What is wrong with a shared library, in words, before the system is asked to load it: one that was cut short would end
 * the process at once, with a bus error. Null where it is whole, as far as its header tells: every segment and the table
 * of sections, which linkers write last, lie inside the file.
 */
export function faultOfLibrary(path: string): string | null {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    return `cannot be opened (${(error as NodeJS.ErrnoException).code ?? String(error)})`;
  }
  try {
    const facts = fstatSync(file);
    if (!facts.isFile()) return "is no file";
    const header = bytesAt(file, 0, headerBytes);
    if (header === null) return `is cut short: it has ${facts.size} bytes, less than a library's header`;
    // The magic number, then 64 bits, then little-endian.
    if (header.readUInt32BE(0) !== 0x7f454c46 || header[4] !== 2 || header[5] !== 1)
      return "is not a shared library (an ELF file for 64 bits)";
    const machine = machines[process.arch];
    if (machine !== undefined && header.readUInt16LE(18) !== machine)
      return `was built for another processor than this one (${process.arch})`;
    const whole = endOf(file, header);
    if (whole === null || whole > facts.size)
      return `is cut short: it has ${facts.size} bytes${whole === null ? "" : ` of at least ${whole}`}`;
    return null;
  } finally {
    closeSync(file);
  }
}

/** Where the last of what the header tells of ends; null where the table of segments is not there. */
function endOf(file: number, header: Buffer): number | null {
  const segments = Number(header.readBigUInt64LE(32));
  const sections = Number(header.readBigUInt64LE(40));
  const table = bytesAt(file, segments, header.readUInt16LE(56) * segmentBytes);
  if (table === null) return null;
  let end = sections + header.readUInt16LE(60) * header.readUInt16LE(58);
  for (let at = 0; at < table.length; at += segmentBytes) {
    const [from, size] = [Number(table.readBigUInt64LE(at + 8)), Number(table.readBigUInt64LE(at + 32))];
    end = Math.max(end, from + size);
  }
  return end;
}

function bytesAt(file: number, position: number, count: number): Buffer | null {
  if (!Number.isSafeInteger(position)) return null;
  const bytes = Buffer.alloc(count);
  return readSync(file, bytes, 0, count, position) === count ? bytes : null;
}
