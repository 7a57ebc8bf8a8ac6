import { NIFTI1, NIFTI2 } from "nifti-reader-js";
import { TransferLimitsError } from "../../common/errors.js";
import { decodeVolume, type StoredVolume } from "../../native/volumes.js";
import { badImage } from "./bad-image.js";
import type { ByteLocation } from "./byte-source.js";
import { type ImageLimits, requirePlausibleSize, requireSize } from "./limits.js";
import { type CheckedVolume, type OpenedImage, voxelToPatientFrom } from "./opened-image.js";
import { readStoredVoxels } from "./stored-voxels.js";
import { type VoxelType, voxelTypes } from "./voxel-types.js";

/** Datatype codes of the NIfTI standard that hold one real number. */
const readableTypes: ReadonlyMap<number, VoxelType> = new Map<number, VoxelType>([
  [NIFTI1.TYPE_UINT8, voxelTypes.uint8],
  [NIFTI1.TYPE_INT8, voxelTypes.int8],
  [NIFTI1.TYPE_INT16, voxelTypes.int16],
  [NIFTI1.TYPE_UINT16, voxelTypes.uint16],
  [NIFTI1.TYPE_INT32, voxelTypes.int32],
  [NIFTI1.TYPE_UINT32, voxelTypes.uint32],
  [NIFTI1.TYPE_INT64, voxelTypes.int64],
  [NIFTI1.TYPE_UINT64, voxelTypes.uint64],
  [NIFTI1.TYPE_FLOAT32, voxelTypes.float32],
  [NIFTI1.TYPE_FLOAT64, voxelTypes.float64],
]);

const unreadableTypes: ReadonlyMap<number, string> = new Map([
  [NIFTI1.TYPE_BINARY, "single bits"],
  [NIFTI1.TYPE_COMPLEX64, "complex numbers (complex64)"],
  [NIFTI1.TYPE_COMPLEX128, "complex numbers (complex128)"],
  [NIFTI1.TYPE_COMPLEX256, "complex numbers (complex256)"],
  [NIFTI1.TYPE_RGB24, "colours (RGB24)"],
  [2304, "colours (RGBA32)"],
  [NIFTI1.TYPE_FLOAT128, "128-bit floating-point numbers"],
]);

const headerBytes = { 1: NIFTI1.MAGIC_COOKIE, 2: NIFTI2.MAGIC_COOKIE } as const;

/** The most bytes of (decompressed) file that `niftiVersion` and `openNifti` need to see. */
export const niftiHeaderBytes = NIFTI2.MAGIC_COOKIE;

/** Which NIfTI a file is, from its first bytes: they hold the length of the header, in either byte order. */
export function niftiVersion(prefix: Buffer): 1 | 2 | undefined {
  if (prefix.length < 4) return undefined;
  const lengths = [prefix.readInt32LE(0), prefix.readInt32BE(0)];
  if (lengths.includes(headerBytes[1])) return 1;
  return lengths.includes(headerBytes[2]) ? 2 : undefined;
}

/**
 * Reads the header of a NIfTI-1 or NIfTI-2 file (`.nii`, `.nii.gz`), `prefix` being its first decompressed bytes.
 *
 * Position: the sform where its code is above 0, else the qform where its code is above 0, else the spacing
 * alone with the first voxel at the origin (methods 3, 2 and 1 of the standard). NIfTI counts towards the right,
 * anterior and superior (RAS); x and y change sign for LPS. Metres and micrometres become millimetres.
 */
export function openNifti(
  location: ByteLocation,
  prefix: Buffer,
  version: 1 | 2,
  limits: ImageLimits,
): OpenedImage {
  const { path } = location;
  const length = headerBytes[version];
  if (prefix.length < length)
    throw badImage(
      path,
      `it is truncated: the header of NIfTI-${version} is ${length} bytes, but ${prefix.length} are there`,
    );
  // The library gets the fixed header and nothing else: what follows (extensions) is none of our business, and
  // a hostile length in it could keep the library busy for ever.
  const fixed = Uint8Array.from(prefix.subarray(0, length)).buffer;
  const header = version === 1 ? new NIFTI1() : new NIFTI2();
  header.readHeader(fixed);
  requireSingleFile(path, prefix, version);

  const { size, volumes } = extent(path, header.dims, limits);
  const type = readableTypes.get(header.datatypeCode);
  if (type === undefined) {
    const what =
      unreadableTypes.get(header.datatypeCode) ?? `values of the unknown type ${header.datatypeCode}`;
    throw badImage(path, `its voxels are ${what}; expected one real number for each voxel`);
  }
  const firstVoxel = header.vox_offset === 0 ? length + 4 : header.vox_offset;
  if (!Number.isSafeInteger(firstVoxel) || firstVoxel < length)
    throw badImage(path, `its header puts the voxels at byte ${header.vox_offset}, inside the header`);
  const voxels = size[0] * size[1] * size[2];
  const volumeBytes = voxels * type.bytes;
  // Where the voxels begin in the file itself, and what lies before them after decompression.
  const [start, skipped] = location.compressed ? [0, firstVoxel] : [firstVoxel, 0];
  requirePlausibleSize({ ...location, start }, skipped + volumeBytes * volumes, path, limits);

  // Slope 0 means "not scaled"; some writers leave NaN for the same.
  const scaled = Number.isFinite(header.scl_slope) && header.scl_slope !== 0;
  const slope = scaled ? header.scl_slope : 1;
  const intercept = scaled && Number.isFinite(header.scl_inter) ? header.scl_inter : 0;
  return {
    path,
    format: `NIfTI-${version}`,
    compressed: location.compressed,
    storedType: type.name,
    size,
    volumes,
    voxelToPatient: position(path, header, fixed, version),
    readVolumes: (wanted) =>
      readStoredVoxels(
        {
          path,
          location: { ...location, start },
          skipped,
          type,
          littleEndian: header.littleEndian,
          slope,
          intercept,
          voxels,
          volumes,
          run: voxels,
        },
        wanted,
      ),
    ...(volumes === 1 && header.littleEndian
      ? {
          readQuickly: () => {
            const { path, fileBytes, compressed } = location;
            const file = { path, bytes: fileBytes, gzip: compressed, type: type.name };
            return readQuickly(
              { ...file, firstByte: firstVoxel, voxels, slope, intercept },
              firstVoxel + volumeBytes,
            );
          },
        }
      : {}),
  };
}

/** Bytes of decompressed file that may always be read at once. */
const alwaysQuick = 2 ** 26;

/** The whole file at once, through the native core: `bytes` is what it should hold, decompressed. */
async function readQuickly(file: StoredVolume, bytes: number): Promise<CheckedVolume | null> {
  // All at once is in memory here, and may be too much of a file that expands to much. As gzip makes nothing much larger
  // than it was, one that is larger holds more than its header says.
  if (bytes > Math.max(alwaysQuick, 16 * file.bytes) || file.bytes > bytes + bytes / 100 + 4096) return null;
  try {
    return await decodeVolume(file);
  } catch (error) {
    if (error instanceof TransferLimitsError && error.code === "LIBTORCH_MISSING") return null; // reading needs none
    throw error;
  }
}

/** A header that lies beside its voxels (`.hdr` + `.img`) would make us open a second file: not read. */
function requireSingleFile(path: string, prefix: Buffer, version: 1 | 2): void {
  const magic = version === 1 ? prefix.toString("latin1", 344, 347) : prefix.toString("latin1", 4, 7);
  if (magic === `n+${version}`) return;
  if (magic === `ni${version}`)
    throw badImage(
      path,
      "it holds a header only: by its mark, the voxels lie in a second file (.img); store both as one .nii or .nii.gz",
    );
  throw badImage(
    path,
    `it has the length of a NIfTI-${version} header but not its mark n+${version} (Analyze is not read)`,
  );
}

/** Three axes of space, and a fourth that counts volumes; further axes must have length 1. */
function extent(
  path: string,
  dims: readonly number[],
  limits: ImageLimits,
): { size: [number, number, number]; volumes: number } {
  const axes = dims[0] ?? 0;
  if (!Number.isInteger(axes) || axes < 3 || axes > 7)
    throw badImage(path, `its header gives ${axes} axes; expected 3, or 4 with the volumes along the fourth`);
  const lengths = dims.slice(1, axes + 1);
  const [i, j, k, volumes = 1, ...further] = lengths as [number, number, number, number?, ...number[]];
  requireSize(path, [i, j, k], volumes, limits);
  if (further.some((length) => length !== 1))
    throw badImage(
      path,
      `it has ${axes} axes (${lengths.join(" x ")}); expected 3, or 4 with the volumes along the fourth`,
    );
  return { size: [i, j, k], volumes };
}

function position(path: string, header: NIFTI1 | NIFTI2, fixed: ArrayBuffer, version: 1 | 2): number[] {
  const millimetres = [1, 1000, 1, 1e-3][header.xyzt_units & NIFTI1.SPATIAL_UNITS_MASK] ?? 1;
  const ras = rasMatrix(path, header, fixed, version);
  const column = (index: number) =>
    [-1, -1, 1].map((sign, row) => sign * millimetres * ((ras[row] as number[])[index] as number));
  return voxelToPatientFrom(path, [column(0), column(1), column(2)], column(3));
}

/** Three rows of four: (i, j, k, 1) to RAS, in the file's unit of length. */
function rasMatrix(path: string, header: NIFTI1 | NIFTI2, fixed: ArrayBuffer, version: 1 | 2): number[][] {
  if (header.sform_code > 0) {
    // The library's own `affine` holds the qform where the qform's code is the larger one, so read the rows here.
    const view = new DataView(fixed);
    const at = (index: number) =>
      version === 1
        ? view.getFloat32(280 + 4 * index, header.littleEndian)
        : view.getFloat64(400 + 8 * index, header.littleEndian);
    return [0, 4, 8].map((row) => [at(row), at(row + 1), at(row + 2), at(row + 3)]);
  }
  const spacing = header.pixDims.slice(1, 4);
  if (!spacing.every((step) => step > 0 && Number.isFinite(step)))
    throw badImage(
      path,
      `its header gives a spacing of ${spacing.join(", ")}; expected three numbers above 0`,
    );
  if (header.qform_code > 0) return header.getQformMat().slice(0, 3);
  return spacing.map((step, row) => [0, 1, 2, 3].map((column) => (column === row ? step : 0)));
}
