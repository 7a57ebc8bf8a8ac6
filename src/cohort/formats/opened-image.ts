import { badImage } from "./bad-image.js";
import type { ImageLimits } from "./limits.js";

/** What an image file is, by its contents. */
export type ImageFormat = "NIfTI-1" | "NIfTI-2" | "MetaImage" | "NRRD";

/** How a file is opened. */
export interface OpenOptions {
  /** The folder that a header's data file must lie in. */
  root: string;
  limits: ImageLimits;
}

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
  /** What the volumes are, where they are not images by themselves: "channels" of a colour, say. */
  volumesAre?: string;
  /** Row-major 4x4: voxel index (k, j, i, 1) to patient position (x, y, z, 1), millimetres, LPS. */
  voxelToPatient: number[];
  /** What the header leaves open, and how it was taken. */
  remarks?: string[];
  /** The wanted volumes, in order; one in memory at a time where they lie one after the other in the file. */
  readVolumes(wanted: (index: number) => boolean): AsyncGenerator<Volume>;
  /**
   * A quicker way to a file's only volume, where there is one. Null where it leads nowhere: `readVolumes` reads more
   * patiently, and says what is wrong.
   */
  readQuickly?(): Promise<CheckedVolume | null>;
}

/** In millimetres: further away lies nothing of a patient. */
const farthest = 1e6;

/**
 * The affine of an image from its axes: `axes[0]` is the step in millimetres (LPS) from one voxel to the next
 * along i, `axes[1]` along j, `axes[2]` along k, `origin` the centre of voxel (0, 0, 0).
 * Refuses steps of length zero, axes that lie in one plane, and what is not a number.
 */
export function voxelToPatientFrom(
  path: string,
  axes: readonly (readonly number[])[],
  origin: readonly number[],
): number[] {
  const [i, j, k] = axes as [number[], number[], number[]];
  const rows = [0, 1, 2].flatMap((row) => [k[row], j[row], i[row], origin[row]] as number[]);
  if (!rows.every((value) => Math.abs(value) <= farthest))
    throw badImage(path, "its position in the patient is not given by finite numbers within a kilometre");
  const lengths = axes.map((axis) => Math.hypot(...axis));
  const volume = Math.abs(determinant(i, j, k));
  if (
    lengths.some((length) => length === 0) ||
    !(volume >= 1e-3 * (lengths as number[]).reduce((a, b) => a * b, 1))
  )
    throw badImage(
      path,
      `its axes do not span space: the steps along i, j and k are ${lengths.map((length) => length.toPrecision(4)).join(", ")} mm`,
    );
  return [...rows, 0, 0, 0, 1].map((value) => value + 0); // + 0 turns -0 into 0
}

function determinant(a: readonly number[], b: readonly number[], c: readonly number[]): number {
  const at = (row: readonly number[], column: number) => row[column] as number;
  return (
    at(a, 0) * (at(b, 1) * at(c, 2) - at(b, 2) * at(c, 1)) -
    at(a, 1) * (at(b, 0) * at(c, 2) - at(b, 2) * at(c, 0)) +
    at(a, 2) * (at(b, 0) * at(c, 1) - at(b, 1) * at(c, 0))
  );
}
