import { describe } from "../../common/errors.js";
import { productOf } from "../../common/numbers.js";
import { locateDataFile, readPrefix } from "./attached-data.js";
import { badImage } from "./bad-image.js";
import type { ByteLocation } from "./byte-source.js";
import { parseSizes, parseWhole } from "./header-numbers.js";
import { requireInterleaved, requirePlausibleSize, requireSize } from "./limits.js";
import { nrrdPosition } from "./nrrd-position.js";
import type { OpenedImage, OpenOptions } from "./opened-image.js";
import { readStoredVoxels } from "./stored-voxels.js";
import { type VoxelType, voxelTypes } from "./voxel-types.js";

/** The types of voxels, by every name that the format has for one. */
const typesByName: Readonly<Record<string, VoxelType>> = Object.fromEntries(
  (
    [
      [voxelTypes.int8, "signed char|int8|int8_t"],
      [voxelTypes.uint8, "uchar|unsigned char|uint8|uint8_t"],
      [voxelTypes.int16, "short|short int|signed short|signed short int|int16|int16_t"],
      [voxelTypes.uint16, "ushort|unsigned short|unsigned short int|uint16|uint16_t"],
      [voxelTypes.int32, "int|signed int|int32|int32_t"],
      [voxelTypes.uint32, "uint|unsigned int|uint32|uint32_t"],
      [
        voxelTypes.int64,
        "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t",
      ],
      [voxelTypes.uint64, "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t"],
      [voxelTypes.float32, "float"],
      [voxelTypes.float64, "double"],
    ] as const
  ).flatMap(([type, names]) => names.split("|").map((name) => [name, type])),
);

/** The fields that say what the voxels are and where they lie, in the file and in the patient. Others are passed over. */
const knownFields = new Set([
  "type",
  "dimension",
  "space",
  "space dimension",
  "sizes",
  "spacings",
  "space directions",
  "space origin",
  "space units",
  "units",
  "kinds",
  "centers",
  "axis mins",
  "axis maxs",
  "endian",
  "encoding",
  "data file",
  "line skip",
  "byte skip",
]);

/** Other names that the format has for fields. */
const synonyms: Readonly<Record<string, string>> = {
  centerings: "centers",
  axismins: "axis mins",
  axismaxs: "axis maxs",
  datafile: "data file",
  lineskip: "line skip",
  byteskip: "byte skip",
};

export const looksLikeNrrd = (prefix: Buffer): boolean => prefix.toString("latin1", 0, 7) === "NRRD000";

/** Reads an NRRD: `.nrrd`, or `.nhdr` whose data file must lie inside `root`. */
export async function openNrrd(
  path: string,
  fileBytes: number,
  { root, limits }: OpenOptions,
): Promise<OpenedImage> {
  const prefix = await readPrefix(path);
  const version = prefix.toString("latin1", 7, 9).trimEnd();
  if (!/^[1-5]$/.test(version))
    throw badImage(path, `it begins with ${describe(`NRRD000${version}`)}; expected NRRD0001 to NRRD0005`);
  const { fields, length } = parseHeader(path, prefix);
  const required = (name: string) => {
    const value = fields.get(name);
    if (value === undefined) throw badImage(path, `its header lacks the field ${describe(name)}`);
    return value;
  };

  const sizes = parseSizes(required("sizes"));
  const dimension = required("dimension");
  if (dimension !== "3" && dimension !== "4")
    throw badImage(
      path,
      `it has ${dimension.slice(0, 20)} axes; expected 3, or 4 of which one counts volumes`,
    );
  if (sizes.length !== Number(dimension))
    throw badImage(
      path,
      `its header gives ${dimension} axes but ${sizes.length} sizes: ${describe(required("sizes"))}`,
    );
  const typeName = required("type").toLowerCase();
  const type = Object.hasOwn(typesByName, typeName) ? typesByName[typeName] : undefined;
  if (type === undefined)
    throw badImage(
      path,
      `its voxels are of the type ${describe(required("type"))}; expected one real number each`,
    );
  const kinds = fields.get("kinds")?.split(/\s+/) ?? [];
  if (kinds.length > 0 && kinds.length !== sizes.length)
    throw badImage(path, `its header gives ${dimension} axes but ${kinds.length} kinds`);
  if (kinds.some((kind) => /complex/i.test(kind))) throw badImage(path, "its voxels are complex numbers");
  const littleEndian = type.bytes === 1 || isLittleEndian(path, required("endian"));

  // Sizes before positions: what is wrong with both is said of the sizes.
  requireSize(path, sizes, 1, { ...limits, voxels: Number.MAX_SAFE_INTEGER });
  const { volumeAxis, voxelToPatient, remarks } = nrrdPosition(path, fields, sizes);
  const size = sizes.filter((_, axis) => axis !== volumeAxis) as [number, number, number];
  const volumes = volumeAxis === undefined ? 1 : (sizes[volumeAxis] as number);
  requireSize(path, size, volumes, limits);
  const [voxels, run] = [productOf(size), productOf(sizes.slice(0, volumeAxis))];
  const layout = { voxels, volumes, run };
  requireInterleaved(path, layout, limits);

  const wanted = voxels * volumes * type.bytes;
  const location = await locate(path, { fileBytes, length, root, fields }, wanted);
  requirePlausibleSize(location, wanted, path, limits);
  return {
    path,
    format: "NRRD",
    compressed: location.compressed,
    storedType: type.name,
    size,
    volumes,
    voxelToPatient,
    remarks,
    readVolumes: (wanted) =>
      readStoredVoxels(
        { path, location, skipped: 0, type, littleEndian, slope: 1, intercept: 0, ...layout },
        wanted,
      ),
  };
}

type Fields = ReadonlyMap<string, string>;

function isLittleEndian(path: string, endian: string): boolean {
  const order = endian.toLowerCase();
  if (order !== "little" && order !== "big")
    throw badImage(path, `its field "endian" is ${describe(endian)}; expected little or big`);
  return order === "little";
}

/** Where the voxels are: in the file itself after `length` bytes of header, or in a file of their own. */
async function locate(
  path: string,
  { fileBytes, length, root, fields }: { fileBytes: number; length: number; root: string; fields: Fields },
  wanted: number,
): Promise<ByteLocation> {
  const encoding = fields.get("encoding")?.toLowerCase() ?? "";
  const compressed = encoding === "gzip" || encoding === "gz";
  if (!compressed && encoding !== "raw")
    throw badImage(path, `its voxels are encoded as ${describe(encoding)}; expected raw or gzip`);
  const dataFile = fields.get("data file");
  if (dataFile !== undefined && (/^list\b/i.test(dataFile) || /%|\s-?\d+\s/.test(dataFile)))
    throw badImage(
      path,
      `its voxels are spread over several files (${describe(dataFile)}); store them as one`,
    );
  const file =
    dataFile === undefined
      ? { path, fileBytes, first: length }
      : { ...(await locateDataFile(path, dataFile, root)), first: 0 };
  const skip = parseWhole(fields.get("byte skip") ?? "0");
  const lines = parseWhole(fields.get("line skip") ?? "0");
  if (lines !== 0 || !Number.isSafeInteger(skip) || skip < -1 || (compressed && skip !== 0))
    throw badImage(
      path,
      `its header skips ${lines} lines and ${skip} bytes before the voxels, which is not read here`,
    );
  const start = skip === -1 ? Math.max(file.fileBytes - wanted, file.first) : file.first + skip;
  return { path: file.path, fileBytes: file.fileBytes, start, compressed };
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
    const written = rawName.trim().toLowerCase();
    const name = Object.hasOwn(synonyms, written) ? (synonyms[written] as string) : written;
    if (separator === "=" || !knownFields.has(name)) continue;
    // A unit may be written with a Greek letter.
    if (!name.endsWith("units") && !/^[\x20-\x7e]*$/.test(value))
      throw badImage(path, `its field ${describe(name)} is not plain text`);
    if (fields.has(name))
      throw badImage(path, `its header has the field ${describe(name)} twice (again in line ${line})`);
    fields.set(name, value.trim());
    // What follows a list is names of files; the caller refuses it.
    if (name === "data file" && /^list\b/i.test(value)) return { fields, length: prefix.length };
    if (newline < 0) break;
  }
  // A detached header may end with the file.
  if (fields.has("data file")) return { fields, length: prefix.length };
  throw badImage(path, "its header does not end: expected an empty line before the voxels");
}
