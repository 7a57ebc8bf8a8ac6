import { describe } from "../../common/errors.js";
import { locateDataFile, readPrefix } from "./attached-data.js";
import { badImage } from "./bad-image.js";
import type { ByteLocation } from "./byte-source.js";
import { parseSizes, parseWhole } from "./header-numbers.js";
import { requireInterleaved, requirePlausibleSize, requireSize } from "./limits.js";
import { metaImagePosition, positionFields } from "./meta-image-position.js";
import type { OpenedImage, OpenOptions } from "./opened-image.js";
import { readStoredVoxels } from "./stored-voxels.js";
import { type VoxelType, voxelTypes } from "./voxel-types.js";

/** Types of voxels by MetaImage's names (a "long" has four bytes, whatever the machine). */
const elementTypes: Readonly<Record<string, VoxelType>> = {
  MET_CHAR: voxelTypes.int8,
  MET_UCHAR: voxelTypes.uint8,
  MET_SHORT: voxelTypes.int16,
  MET_USHORT: voxelTypes.uint16,
  MET_INT: voxelTypes.int32,
  MET_UINT: voxelTypes.uint32,
  MET_LONG: voxelTypes.int32,
  MET_ULONG: voxelTypes.uint32,
  MET_LONG_LONG: voxelTypes.int64,
  MET_ULONG_LONG: voxelTypes.uint64,
  MET_FLOAT: voxelTypes.float32,
  MET_DOUBLE: voxelTypes.float64,
};

/** The fields that say what the voxels are and where they lie. Others (DICOM tags, say) are passed over. */
const knownFields = new Set([
  ...positionFields,
  "ObjectType",
  "NDims",
  "DimSize",
  "ElementType",
  "ElementNumberOfChannels",
  "ElementToIntensityFunctionSlope",
  "ElementToIntensityFunctionOffset",
  "BinaryData",
  "BinaryDataByteOrderMSB",
  "ElementByteOrderMSB",
  "CompressedData",
  "CompressedDataSize",
  "HeaderSize",
  "ElementDataFile",
]);

/** Whether a file begins like a MetaImage header. */
export const looksLikeMetaImage = (prefix: Buffer): boolean =>
  /^\s*[\x21-\x7e]+\s*=/.test(prefix.toString("latin1")) &&
  /(ObjectType|NDims)\s*=/.test(prefix.toString("latin1"));

/** Reads a MetaImage: `.mha`, or `.mhd` whose data file must lie inside `root`. */
export async function openMetaImage(
  path: string,
  fileBytes: number,
  { root, limits }: OpenOptions,
): Promise<OpenedImage> {
  const prefix = await readPrefix(path);
  const { fields, length } = parseHeader(path, prefix);
  const required = (name: string) => {
    const value = fields.get(name);
    if (value === undefined) throw badImage(path, `its header lacks the field ${name}`);
    return value;
  };

  const sizes = parseSizes(required("DimSize"));
  const axes = required("NDims");
  if (axes !== "3" && axes !== "4")
    throw badImage(
      path,
      `it has ${axes.slice(0, 20)} axes; expected 3, or 4 with the volumes along the fourth`,
    );
  if (sizes.length !== Number(axes))
    throw badImage(path, `its header gives ${axes} axes but a size of ${describe(required("DimSize"))}`);
  const typeName = required("ElementType");
  const type = Object.hasOwn(elementTypes, typeName) ? elementTypes[typeName] : undefined;
  if (type === undefined)
    throw badImage(
      path,
      `its voxels are of the type ${describe(typeName)}; expected one of ${Object.keys(elementTypes).join(", ")}`,
    );
  const channels = parseWhole(fields.get("ElementNumberOfChannels") ?? "1");
  requireSize(path, [...sizes, channels], 1, { ...limits, voxels: Number.MAX_SAFE_INTEGER });
  const size = sizes.slice(0, 3) as [number, number, number];
  const times = sizes[3] ?? 1;
  requireSize(path, size, times * channels, limits);
  if (times > 1 && channels > 1)
    throw badImage(
      path,
      `it has ${channels} channels at each of ${times} times; store them as several files`,
    );
  const [voxels, volumes] = [size[0] * size[1] * size[2], times * channels];
  const layout = { voxels, volumes, run: channels > 1 ? 1 : voxels };
  requireInterleaved(path, layout, limits);
  if (!booleanOf(path, fields, "BinaryData", true))
    throw badImage(path, "its voxels are written as text; store them as binary data");
  requireUnscaled(path, fields);
  const { voxelToPatient, remarks } = metaImagePosition(path, fields, Number(axes));

  const wanted = voxels * volumes * type.bytes;
  const location = await locate(path, fileBytes, root, fields, length, wanted);
  requirePlausibleSize(location, wanted, path, limits);
  const bigEndian =
    booleanOf(path, fields, "BinaryDataByteOrderMSB", false) ||
    booleanOf(path, fields, "ElementByteOrderMSB", false);
  return {
    path,
    format: "MetaImage",
    compressed: location.compressed,
    storedType: type.name,
    size,
    volumes,
    volumesAre: channels > 1 ? "channels" : "volumes",
    voxelToPatient,
    remarks,
    readVolumes: (isWanted) =>
      readStoredVoxels(
        { path, location, skipped: 0, type, littleEndian: !bigEndian, slope: 1, intercept: 0, ...layout },
        isWanted,
      ),
  };
}

/** Readers do not agree about these fields: ITK passes over them. */
function requireUnscaled(path: string, fields: ReadonlyMap<string, string>): void {
  for (const [name, neutral] of [
    ["ElementToIntensityFunctionSlope", 1],
    ["ElementToIntensityFunctionOffset", 0],
  ] as const) {
    const text = fields.get(name);
    if (text !== undefined && Number(text) !== neutral)
      throw badImage(
        path,
        `its field ${name} is ${describe(text)}, which readers take differently; store the values as they are meant, and ${neutral} there`,
      );
  }
}

async function locate(
  path: string,
  fileBytes: number,
  root: string,
  fields: ReadonlyMap<string, string>,
  headerBytes: number,
  wanted: number,
): Promise<ByteLocation> {
  const name = fields.get("ElementDataFile") ?? "";
  if (/^list\b/i.test(name) || name.includes("%"))
    throw badImage(path, `its voxels are spread over several files (${describe(name)}); store them as one`);
  const local = /^local$/i.test(name);
  const file = local ? { path, fileBytes } : await locateDataFile(path, name, root);
  const compressed = booleanOf(path, fields, "CompressedData", false);
  const skipped = parseWhole(fields.get("HeaderSize") ?? "0");
  if (!Number.isSafeInteger(skipped) || skipped < -1 || (skipped === -1 && compressed))
    throw badImage(
      path,
      `its field HeaderSize is ${skipped}; expected a number of bytes, or -1 for uncompressed voxels at the end of the file`,
    );
  // Of voxels that follow the header, ITK counts the bytes from the file's beginning, others from the header's end.
  if (local && skipped > 0)
    throw badImage(
      path,
      `its field HeaderSize is ${skipped} although its voxels follow the header; remove the field`,
    );
  const first = local ? headerBytes : 0;
  const start = skipped === -1 ? Math.max(file.fileBytes - wanted, first) : first + skipped;
  const location = { ...file, start, compressed };
  const stored = parseWhole(fields.get("CompressedDataSize") ?? "0");
  if (compressed && stored > file.fileBytes - start)
    throw badImage(
      path,
      `it is truncated: its header promises ${stored.toLocaleString("en")} compressed bytes, ` +
        `but ${Math.max(file.fileBytes - start, 0).toLocaleString("en")} are there`,
    );
  return location;
}

function booleanOf(
  path: string,
  fields: ReadonlyMap<string, string>,
  name: string,
  absent: boolean,
): boolean {
  const value = fields.get(name);
  if (value === undefined) return absent;
  if (/^(?:t|true|1)$/i.test(value)) return true;
  if (/^(?:f|false|0)$/i.test(value)) return false;
  throw badImage(path, `its field ${name} is ${describe(value)}; expected True or False`);
}

/** The known fields, in order, and where the header ends. */
function parseHeader(path: string, prefix: Buffer): { fields: Map<string, string>; length: number } {
  const fields = new Map<string, string>();
  let start = 0;
  for (let line = 1; start < prefix.length; line++) {
    const newline = prefix.indexOf(0x0a, start);
    const end = newline < 0 ? prefix.length : newline;
    const bytes = prefix.subarray(start, end);
    start = end + 1;
    const text = bytes.toString("latin1").trim();
    if (text === "") continue;
    const equals = text.indexOf("=");
    const name = text.slice(0, Math.max(equals, 0)).trim();
    if (!/^[\x21-\x7e][\x20-\x7e]*$/.test(name))
      throw badImage(
        path,
        `line ${line} of its header is not "name = value" in plain text: ${describe(printable(text))}`,
      );
    if (!knownFields.has(name)) continue;
    if (fields.has(name))
      throw badImage(path, `its header has the field ${name} twice (again in line ${line})`);
    fields.set(
      name,
      decode(path, name, bytes)
        .slice(equalsIn(bytes) + 1)
        .trim(),
    );
    // By the format's rule this is the last field; the voxels may follow it.
    if (name === "ElementDataFile") return { fields, length: start };
  }
  throw badImage(path, "its header ends without the field ElementDataFile");
}

const equalsIn = (bytes: Buffer) => bytes.indexOf("=");

const printable = (text: string) => text.slice(0, 60).replace(/[^\x20-\x7e]/g, "?");

function decode(path: string, name: string, bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw badImage(path, `its field ${name} is not valid UTF-8 text`, error);
  }
}
