import type { ImageFormat, OpenedImage } from "./formats/opened-image.js";
import { type OpenImageOptions, openWith, orientation, spacing } from "./image.js";

/** The values of one volume. Finite voxels only, slope and intercept applied; null where there is none. */
export interface VolumeInspection {
  index: number;
  range: [number, number] | null;
  mean: number | null;
  nanVoxels: number;
  infiniteVoxels: number;
}

/** What an image file is: a plain object, ready for JSON. */
export interface ImageInspection {
  path: string;
  kind: "image";
  format: ImageFormat;
  compressed: boolean;
  storedType: string;
  /** Of one volume: [D, H, W] = voxels along k, j, i. */
  shape: [number, number, number];
  /** Millimetres along k, j, i. */
  spacing: [number, number, number];
  /** Where i, j, k point; see `orientation`. */
  orientation: string;
  /** Patient position (LPS, mm) of the centre of the first voxel. */
  origin: [number, number, number];
  /** Row-major 4x4: voxel index (k, j, i, 1) to patient position (LPS, mm). */
  voxelToPatient: number[];
  /** Over all volumes. */
  range: [number, number] | null;
  mean: number | null;
  nanVoxels: number;
  infiniteVoxels: number;
  /** One entry a volume, in order. */
  volumes: VolumeInspection[];
  /** Why a study would not take the file as it stands, and what its header leaves open; empty where there is neither. */
  warnings: string[];
}

/**
 * Says what an image file is. Unlike `readImage` it reports NaN voxels and several volumes instead of refusing them.
 *
 * @throws `BAD_IMAGE`, as `readImage`, for a file that cannot be read.
 */
export async function inspectImage(path: string, options: OpenImageOptions = {}): Promise<ImageInspection> {
  const opened = await openWith(path, options);
  const volumes: VolumeInspection[] = [];
  for await (const { index, data } of opened.readVolumes(() => true))
    volumes.push({ index, ...summarise(data) });

  const [i, j, k] = opened.size;
  const { format, compressed, storedType, voxelToPatient } = opened;
  const voxels = i * j * k;
  const sum = (count: (volume: VolumeInspection) => number) =>
    volumes.reduce((total, volume) => total + count(volume), 0);
  const nanVoxels = sum((volume) => volume.nanVoxels);
  const infiniteVoxels = sum((volume) => volume.infiniteVoxels);
  const finite = voxels * volumes.length - nanVoxels - infiniteVoxels;
  const finiteIn = (volume: VolumeInspection) => voxels - volume.nanVoxels - volume.infiniteVoxels;
  const ranges = volumes.flatMap((volume) => (volume.range === null ? [] : [volume.range]));
  return {
    path,
    kind: "image",
    format,
    compressed,
    storedType,
    shape: [k, j, i],
    spacing: spacing(opened),
    orientation: orientation(opened),
    origin: [3, 7, 11].map((entry) => voxelToPatient[entry]) as [number, number, number],
    voxelToPatient,
    range:
      ranges.length === 0
        ? null
        : [Math.min(...ranges.map(([low]) => low)), Math.max(...ranges.map(([, high]) => high))],
    mean: finite === 0 ? null : sum((volume) => (volume.mean ?? 0) * finiteIn(volume)) / finite,
    nanVoxels,
    infiniteVoxels,
    volumes,
    warnings: [...warningsOf(opened, nanVoxels, infiniteVoxels), ...(opened.remarks ?? [])],
  };
}

function summarise(data: Float32Array): Omit<VolumeInspection, "index"> {
  let [low, high, sum, nanVoxels, infiniteVoxels] = [Infinity, -Infinity, 0, 0, 0];
  for (const value of data) {
    if (Number.isNaN(value)) nanVoxels++;
    else if (!Number.isFinite(value)) infiniteVoxels++;
    else {
      if (value < low) low = value;
      if (value > high) high = value;
      sum += value;
    }
  }
  const finite = data.length - nanVoxels - infiniteVoxels;
  return {
    range: finite === 0 ? null : [low, high],
    mean: finite === 0 ? null : sum / finite,
    nanVoxels,
    infiniteVoxels,
  };
}

function warningsOf(
  { volumes, volumesAre = "volumes" }: OpenedImage,
  nanVoxels: number,
  infiniteVoxels: number,
): string[] {
  const warnings: string[] = [];
  if (volumes > 1)
    warnings.push(
      `It holds ${volumes} ${volumesAre}: a study refuses it as it stands, a script reads one that it names.`,
    );
  if (nanVoxels > 0) warnings.push(`${nanVoxels.toLocaleString("en")} voxels are NaN: a study refuses it.`);
  if (infiniteVoxels > 0)
    warnings.push(
      `${infiniteVoxels.toLocaleString("en")} voxels are infinite in float32: a study refuses it.`,
    );
  return warnings;
}
