import { describe } from "../../common/errors.js";
import { attachVoxels, locateDataFile, readPrefix } from "./attached-data.js";
import { badImage } from "./bad-image.js";
import type { ByteLocation } from "./byte-source.js";
import { readWithItk } from "./itk-reader.js";
import { type OpenedImage, requireSize } from "./opened-image.js";

/** Bytes of one value, by MetaImage's names of types (a "long" has four, whatever the machine). */
const elementBytes: Readonly<Record<string, number>> = {
  MET_CHAR: 1,
  MET_UCHAR: 1,
  MET_SHORT: 2,
  MET_USHORT: 2,
  MET_INT: 4,
  MET_UINT: 4,
  MET_LONG: 4,
  MET_ULONG: 4,
  MET_LONG_LONG: 8,
  MET_ULONG_LONG: 8,
  MET_FLOAT: 4,
  MET_DOUBLE: 8,
};

/** Fields that say what the voxels are and where they lie: handed on to ITK as they stand. */
const describingFields = new Set([
  "ObjectType",
  "NDims",
  "BinaryData",
  "BinaryDataByteOrderMSB",
  "ElementByteOrderMSB",
  "TransformMatrix",
  "Rotation",
  "Orientation",
  "Offset",
  "Position",
  "Origin",
  "CenterOfRotation",
  "AnatomicalOrientation",
  "ElementSpacing",
  "ElementSize",
  "DimSize",
  "ElementNumberOfChannels",
  "ElementType",
]);

/** Fields that say where the bytes are: dealt with here, so that ITK sees one plain file in memory. */
const storageFields = new Set(["CompressedData", "CompressedDataSize", "HeaderSize", "ElementDataFile"]);

/** Whether a file begins like a MetaImage header. */
export const looksLikeMetaImage = (prefix: Buffer): boolean =>
  /^\s*[\x21-\x7e]+\s*=/.test(prefix.toString("latin1")) &&
  /(ObjectType|NDims)\s*=/.test(prefix.toString("latin1"));

/** Reads a MetaImage: `.mha`, or `.mhd` whose data file must lie inside `root`. */
export async function openMetaImage(path: string, fileBytes: number, root: string): Promise<OpenedImage> {
  const prefix = await readPrefix(path);
  const { fields, length } = parseHeader(path, prefix);
  const required = (name: string) => {
    const value = fields.get(name);
    if (value === undefined) throw badImage(path, `its header lacks the field ${name}`);
    return value;
  };

  const sizes = required("DimSize").split(/\s+/).map(Number);
  const axes = Number(required("NDims"));
  if (axes !== 3 && axes !== 4)
    throw badImage(path, `it has ${axes} axes; expected 3, or 4 with the volumes along the fourth`);
  if (sizes.length !== axes)
    throw badImage(path, `its header gives ${axes} axes but a size of ${sizes.join(" x ")}`);
  requireSize(path, sizes);
  const bytesEach = elementBytes[required("ElementType")];
  if (bytesEach === undefined)
    throw badImage(
      path,
      `its voxels are of the type ${describe(required("ElementType"))}; expected one of ${Object.keys(elementBytes).join(", ")}`,
    );
  const channels = Number(fields.get("ElementNumberOfChannels") ?? 1);
  requireSize(path, [...sizes, channels]);
  if (isFalse(fields.get("BinaryData")))
    throw badImage(path, "its voxels are written as text; store them as binary data");
  requireAxes(path, fields, axes);

  const wanted = sizes.reduce((product, count) => product * count, bytesEach * channels);
  const location = await locate(path, fileBytes, root, fields, length, wanted);
  const header = [...fields]
    .filter(([name]) => describingFields.has(name))
    .map(([name, value]) => `${name} = ${value}\n`);
  const bytes = await attachVoxels(path, `${header.join("")}ElementDataFile = LOCAL\n`, location, wanted);
  return readWithItk({
    path,
    format: "MetaImage",
    compressed: location.compressed,
    sizes: channels > 1 ? [...sizes, channels] : sizes,
    bytes,
  });
}

/** ITK replaces a matrix that spans nothing by the identity, in silence: here it is refused. */
function requireAxes(path: string, fields: ReadonlyMap<string, string>, axes: number): void {
  for (const name of [
    "TransformMatrix",
    "Rotation",
    "Orientation",
    "Offset",
    "Position",
    "Origin",
    "ElementSpacing",
    "ElementSize",
  ]) {
    const text = fields.get(name);
    if (text === undefined) continue;
    const values = text.split(/\s+/).map(Number);
    const isMatrix = name === "TransformMatrix" || name === "Rotation" || name === "Orientation";
    const isSpacing = name.startsWith("Element");
    const count = isMatrix ? axes * axes : axes;
    if (
      values.length !== count ||
      !values.every(Number.isFinite) ||
      (isSpacing && !values.every((value) => value > 0))
    )
      throw badImage(
        path,
        `its field ${name} is ${describe(text)}; expected ${count} numbers${isSpacing ? " above 0" : ""}`,
      );
    if (isMatrix) {
      const rows = [0, 1, 2].map((row) => values.slice(row * axes, row * axes + 3));
      if (!isRotation(rows))
        throw badImage(
          path,
          `its field ${name} is ${describe(text)}; expected axes of length 1 at right angles`,
        );
    }
  }
}

function isRotation(rows: number[][]): boolean {
  const dot = (a: number[], b: number[]) =>
    a.reduce((sum, value, index) => sum + value * (b[index] as number), 0);
  return rows.every((a, row) =>
    rows.every((b, other) => Math.abs(dot(a, b) - (row === other ? 1 : 0)) < 1e-3),
  );
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
  const compressed = isTrue(fields.get("CompressedData"));
  const skipped = Number(fields.get("HeaderSize") ?? 0);
  if (!Number.isSafeInteger(skipped) || skipped < -1 || (skipped === -1 && compressed))
    throw badImage(
      path,
      `its field HeaderSize is ${skipped}; expected a number of bytes, or -1 for uncompressed voxels at the end of the file`,
    );
  const first = local ? headerBytes : 0;
  const start = skipped === -1 ? Math.max(file.fileBytes - wanted, first) : first + skipped;
  const location = { ...file, start, compressed };
  const stored = Number(fields.get("CompressedDataSize") ?? 0);
  if (compressed && stored > file.fileBytes - start)
    throw badImage(
      path,
      `it is truncated: its header promises ${stored.toLocaleString("en")} compressed bytes, ` +
        `but ${Math.max(file.fileBytes - start, 0).toLocaleString("en")} are there`,
    );
  return location;
}

const isTrue = (value: string | undefined) => /^(t|true|1)$/i.test(value ?? "");
const isFalse = (value: string | undefined) => /^(f|false|0)$/i.test(value ?? "");

/** The known fields, in order, and where the header ends. Other fields (DICOM tags, say) are passed over. */
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
    if (!describingFields.has(name) && !storageFields.has(name)) continue;
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
