import { describe } from "../../common/errors.js";
import { attachVoxels, locateDataFile, readPrefix } from "./attached-data.js";
import { badImage } from "./bad-image.js";
import { readWithItk } from "./itk-reader.js";
import { type OpenedImage, requireSize } from "./opened-image.js";

/** Bytes of one value, by every name that the format has for a type. */
const typeBytes: Readonly<Record<string, number>> = Object.fromEntries(
  (
    [
      [1, "signed char|int8|int8_t|uchar|unsigned char|uint8|uint8_t"],
      [2, "short|short int|signed short|signed short int|int16|int16_t"],
      [2, "ushort|unsigned short|unsigned short int|uint16|uint16_t"],
      [4, "int|signed int|int32|int32_t|uint|unsigned int|uint32|uint32_t|float"],
      [8, "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t"],
      [8, "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t|double"],
    ] as const
  ).flatMap(([bytes, names]) => names.split("|").map((name) => [name, bytes])),
);

/** Fields about where the bytes are: dealt with here, so that ITK sees one plain file in memory. */
const storageFields = new Set([
  "encoding",
  "data file",
  "datafile",
  "line skip",
  "lineskip",
  "byte skip",
  "byteskip",
]);

/** Fields handed on to ITK as they stand. */
const describingFields = new Set([
  "type",
  "dimension",
  "space",
  "space dimension",
  "sizes",
  "spacings",
  "space directions",
  "space origin",
  "space units",
  "kinds",
  "centers",
  "centerings",
  "axis mins",
  "axismins",
  "axis maxs",
  "axismaxs",
  "endian",
]);

export const looksLikeNrrd = (prefix: Buffer): boolean => prefix.toString("latin1", 0, 7) === "NRRD000";

/** Reads an NRRD: `.nrrd`, or `.nhdr` whose data file must lie inside `root`. */
export async function openNrrd(path: string, fileBytes: number, root: string): Promise<OpenedImage> {
  const prefix = await readPrefix(path);
  const { fields, length } = parseHeader(path, prefix);
  const required = (name: string) => {
    const value = fields.get(name);
    if (value === undefined) throw badImage(path, `its header lacks the field ${describe(name)}`);
    return value;
  };

  const sizes = required("sizes").split(/\s+/).map(Number);
  const dimension = Number(required("dimension"));
  if (dimension !== 3 && dimension !== 4)
    throw badImage(path, `it has ${dimension} axes; expected 3, or 4 of which one counts volumes`);
  if (sizes.length !== dimension)
    throw badImage(path, `its header gives ${dimension} axes but sizes of ${sizes.join(" x ")}`);
  requireSize(path, sizes);
  const bytesEach = typeBytes[required("type").toLowerCase()];
  if (bytesEach === undefined)
    throw badImage(
      path,
      `its voxels are of the type ${describe(required("type"))}; expected one real number each`,
    );
  if (bytesEach > 1) required("endian");
  if (/complex/i.test(fields.get("kinds") ?? "")) throw badImage(path, "its voxels are complex numbers");

  const encoding = required("encoding").toLowerCase();
  const compressed = encoding === "gzip" || encoding === "gz";
  if (!compressed && encoding !== "raw")
    throw badImage(path, `its voxels are encoded as ${describe(encoding)}; expected raw or gzip`);
  const wanted = sizes.reduce((product, count) => product * count, bytesEach);
  const dataFile = fields.get("data file") ?? fields.get("datafile");
  if (dataFile !== undefined && (/^list\b/i.test(dataFile) || /%|\s-?\d+\s/.test(dataFile)))
    throw badImage(
      path,
      `its voxels are spread over several files (${describe(dataFile)}); store them as one`,
    );
  const file =
    dataFile === undefined
      ? { path, fileBytes, first: length }
      : { ...(await locateDataFile(path, dataFile, root)), first: 0 };
  const skip = Number(fields.get("byte skip") ?? fields.get("byteskip") ?? 0);
  const lines = Number(fields.get("line skip") ?? fields.get("lineskip") ?? 0);
  if (lines !== 0 || !Number.isSafeInteger(skip) || skip < -1 || (compressed && skip !== 0))
    throw badImage(
      path,
      `its header skips ${lines} lines and ${skip} bytes before the voxels, which is not read here`,
    );
  const start = skip === -1 ? Math.max(file.fileBytes - wanted, file.first) : file.first + skip;

  const kept = [...fields]
    .filter(([name]) => describingFields.has(name))
    .map(([name, value]) => `${name}: ${value}\n`);
  const bytes = await attachVoxels(
    path,
    `NRRD0005\n${kept.join("")}encoding: raw\n\n`,
    { path: file.path, fileBytes: file.fileBytes, start, compressed },
    wanted,
  );
  return readWithItk({ path, format: "NRRD", compressed, sizes, bytes });
}

/** The known fields, in order, and where the header ends: after the first empty line. */
function parseHeader(path: string, prefix: Buffer): { fields: Map<string, string>; length: number } {
  const fields = new Map<string, string>();
  let start = 0;
  for (let line = 1; start < prefix.length; line++) {
    const newline = prefix.indexOf(0x0a, start);
    const end = newline < 0 ? prefix.length : newline;
    const text = prefix.toString("latin1", start, end).replace(/\r$/, "");
    start = end + 1;
    if (line === 1 || text.startsWith("#")) continue;
    if (text === "") return { fields, length: start };
    // "field: value" describes the image; "key:=value" is a remark of its writer.
    const parts = /^([^:]+):(=| ?)(.*)$/.exec(text);
    if (parts === null)
      throw badImage(
        path,
        `line ${line} of its header is neither "field: value" nor "key:=value": ${describe(text.slice(0, 60).replace(/[^\x20-\x7e]/g, "?"))}`,
      );
    const [, rawName = "", separator, value = ""] = parts;
    const name = rawName.trim().toLowerCase();
    if (separator === "=" || (!storageFields.has(name) && !describingFields.has(name))) continue;
    if (!/^[\x20-\x7e]*$/.test(value)) throw badImage(path, `its field ${describe(name)} is not plain text`);
    if (fields.has(name))
      throw badImage(path, `its header has the field ${describe(name)} twice (again in line ${line})`);
    fields.set(name, value.trim());
    // What follows a list is names of files; the caller refuses it.
    if (/^data ?file$/.test(name) && /^list\b/i.test(value)) return { fields, length: prefix.length };
    if (newline < 0) break;
  }
  // A detached header may end with the file.
  if (fields.has("data file") || fields.has("datafile")) return { fields, length: prefix.length };
  throw badImage(path, "its header does not end: expected an empty line before the voxels");
}
