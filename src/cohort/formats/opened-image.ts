import { badImage } from "./bad-image.js";

export type ImageFormat = "NIfTI-1" | "NIfTI-2" | "MetaImage" | "NRRD";

/** Voxels of one volume, i fastest and k slowest: data[(k * J + j) * I + i]. */
export interface Volume {
  index: number;
  data: Float32Array;
}

/** What `readImage` needs of a volume. */
export interface CheckedVolume {
  data: Float32Array;
  /** Voxels that are NaN or infinite. */
  notFinite: number;
}

/** An image file whose header was read and found sound; its voxels are read when asked for. */
export interface OpenedImage {
  path: string;
  format: ImageFormat;
  compressed: boolean;
  /** How a voxel is stored, before slope and intercept: "int16", "float32", ... */
  storedType: string;
  /** Voxels along i, j and k. */
  size: [number, number, number];
  /** How many volumes of that size the file holds. */
  volumes: number;
  /** Row-major 4x4: voxel index (k, j, i, 1) to patient position (x, y, z, 1), millimetres, LPS. */
  voxelToPatient: number[];
  /** The wanted volumes, in order, one in memory at a time. */
  readVolumes(wanted: (index: number) => boolean): AsyncGenerator<Volume>;
  /**
   * A quicker way to a file's only volume, where there is one. Null where it leads nowhere: `readVolumes` reads more
   * patiently, and says what is wrong.
   */
  readQuickly?(): Promise<CheckedVolume | null>;
}

/** The most voxels that one volume may have: 2 GiB as float32, far beyond any scanner's. */
const mostVoxels = 2 ** 29;

/** Checks what a header says about the extent of a volume, before anything of that size is allocated. */
export function requireSize(path: string, size: readonly number[]): void {
  const text = size.join(" x ");
  if (!size.every((length) => Number.isSafeInteger(length) && length >= 1))
    throw badImage(path, `its header gives a size of ${text}; expected whole numbers of at least 1`);
  if (size.reduce((product, length) => product * length, 1) > mostVoxels)
    throw badImage(
      path,
      `its header gives a size of ${text}, more than ${mostVoxels.toLocaleString("en")} voxels`,
    );
}

/**
 * The affine of an image from its axes: `axes[0]` is the step in millimetres (LPS) from one voxel to the next
 * along i, `axes[1]` along j, `axes[2]` along k, `origin` the centre of voxel (0, 0, 0).
 * Refuses steps of length zero, axes that lie in one plane, and what is not a number.
 */
export function voxelToPatientFrom(path: string, axes: number[][], origin: number[]): number[] {
  const [i, j, k] = axes as [number[], number[], number[]];
  const rows = [0, 1, 2].flatMap((row) => [k[row], j[row], i[row], origin[row]] as number[]);
  if (!rows.every(Number.isFinite))
    throw badImage(path, "its position in the patient is not given by finite numbers");
  const lengths = axes.map((axis) => Math.hypot(...axis));
  const volume = Math.abs(determinant(axes));
  if (
    lengths.some((length) => length === 0) ||
    volume < 1e-3 * (lengths as number[]).reduce((a, b) => a * b, 1)
  )
    throw badImage(
      path,
      `its axes do not span space: the steps along i, j and k are ${lengths.map((length) => length.toPrecision(4)).join(", ")} mm`,
    );
  return [...rows, 0, 0, 0, 1].map((value) => value + 0); // + 0 turns -0 into 0
}

function determinant(m: number[][]): number {
  const [a, b, c] = m as [number[], number[], number[]];
  const at = (row: number[], column: number) => row[column] as number;
  return (
    at(a, 0) * (at(b, 1) * at(c, 2) - at(b, 2) * at(c, 1)) -
    at(a, 1) * (at(b, 0) * at(c, 2) - at(b, 2) * at(c, 0)) +
    at(a, 2) * (at(b, 0) * at(c, 1) - at(b, 1) * at(c, 0))
  );
}
