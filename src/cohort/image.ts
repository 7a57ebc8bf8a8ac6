import { requireOptions, requirePath } from "../common/arguments.js";
import { expected } from "../common/errors.js";
import { badImage } from "./formats/bad-image.js";
import { defaultImageLimits, type ImageLimits } from "./formats/limits.js";
import { openImage } from "./formats/open-image.js";
import type { CheckedVolume, ImageFormat, OpenedImage } from "./formats/opened-image.js";
import { axisLength, permutations, spacingOf } from "./geometry.js";

export type { ImageFormat } from "./formats/opened-image.js";

/** One volume of an image file. */
export interface Image {
  /** As it was given. */
  path: string;
  format: ImageFormat;
  /** How a voxel is stored in the file, before slope and intercept: "int16", "float32", ... */
  storedType: string;
  /** [D, H, W] = voxels along k, j and i; i runs fastest in `data`, k slowest. */
  shape: [number, number, number];
  /** The voxels, D * H * W of them, slope and intercept applied. */
  data: Float32Array;
  /**
   * Row-major 4x4: voxel index (k, j, i, 1), in this order, to patient position (x, y, z, 1) in millimetres. LPS: x grows
   * to the patient's left, y to the back, z to the head.
   */
  voxelToPatient: number[];
}

/** How image files are opened. */
export interface OpenImageOptions {
  /** A header may name a data file only inside this folder; the file's own folder where absent. */
  root?: string;
  /** What a file may ask for, so that a small one costs little: 2^27 voxels a volume, 200 times its size decompressed. */
  limits?: Partial<ImageLimits>;
}

/** How an image is opened, and which of its volumes is read. */
export interface ReadOptions extends OpenImageOptions {
  /** Which volume of a file that holds several, counted from 0. */
  volume?: number;
}

/**
 * Reads an image: NIfTI-1 and NIfTI-2 (`.nii`, `.nii.gz`), MetaImage (`.mha`, `.mhd` with its data file), NRRD
 * (`.nrrd`, `.nhdr` with its data file; raw or gzip). What a file is, is found from its content. Nothing is opened but
 * the file, and the one data file that it names, if that lies inside `options.root`.
 *
 * @throws `BAD_IMAGE`, naming the file and the reason: not an image, truncated, several volumes and none named, voxels
 * that are not single real numbers, voxels that are not finite, a header that contradicts itself or its file or asks for
 * more than the limits, a data file that is missing or lies outside. `BAD_INPUT` when `options.volume` is not a whole
 * number of at least 0, or a limit not one of at least 1.
 */
export async function readImage(path: string, options: ReadOptions = {}): Promise<Image> {
  requirePath(path, "path");
  requireOptions(options);
  const { volume } = options;
  if (volume !== undefined && (!Number.isSafeInteger(volume) || volume < 0))
    throw expected("a whole number of at least 0", "volume", volume);

  const opened = await openWith(path, options);
  if (volume === undefined && opened.volumes > 1)
    throw badImage(
      path,
      `it holds ${opened.volumes} ${opened.volumesAre ?? "volumes"} and none is named; choose one, 0 to ${opened.volumes - 1}, ` +
        "by the option volume of readImage; a study takes files of one volume: store the one that is meant by itself",
    );
  if (volume !== undefined && volume >= opened.volumes)
    throw badImage(path, `it has no volume ${volume}: it holds ${opened.volumes}, counted from 0`);

  const { data, notFinite } = (await opened.readQuickly?.()) ?? (await readVolume(opened, volume ?? 0));
  if (notFinite > 0)
    throw badImage(
      path,
      `${notFinite.toLocaleString("en")} of its ${data.length.toLocaleString("en")} voxels are not finite numbers ` +
        "(NaN or infinite); fill them with a value, or leave the case out",
    );
  const [i, j, k] = opened.size;
  const { format, storedType, voxelToPatient } = opened;
  return { path, format, storedType, shape: [k, j, i], data, voxelToPatient };
}

/** Opens an image, with what the options leave out filled in. */
export async function openWith(path: string, options: OpenImageOptions): Promise<OpenedImage> {
  const limits = { ...defaultImageLimits, ...options.limits };
  for (const name of ["voxels", "expansion"] as const)
    if (!Number.isSafeInteger(limits[name]) || limits[name] < 1)
      throw expected("a whole number of at least 1", `limits.${name}`, limits[name]);
  return openImage(path, { ...(options.root === undefined ? {} : { root: options.root }), limits });
}

async function readVolume(opened: OpenedImage, index: number): Promise<CheckedVolume> {
  let data: Float32Array | undefined;
  for await (const volume of opened.readVolumes((candidate) => candidate === index)) data = volume.data;
  if (data === undefined) throw badImage(opened.path, `its volume ${index} could not be read`);
  return { data, notFinite: countNotFinite(data) };
}

function countNotFinite(data: Float32Array): number {
  let count = 0;
  // By index and by subtraction (0 for every finite number, else NaN): an iterator and a call a voxel cost more time
  // than decompressing the file.
  for (let voxel = 0; voxel < data.length; voxel++) {
    const value = data[voxel] as number;
    if (value - value !== 0) count++;
  }
  return count;
}

/** Voxel size in millimetres along k, j and i. */
export const spacing = (image: Pick<Image, "voxelToPatient">): [number, number, number] =>
  spacingOf(image.voxelToPatient);

const letters = ["LR", "PA", "SI"] as const;

/**
 * Where the axes i, j and k (in this order) point, as three letters: L left, R right, P posterior, A anterior, S superior,
 * I inferior. A letter names the direction in which the index grows, as in nibabel ("RAS": i grows to the right); the
 * older letters of ITK's files name the opposite side, where the index starts. Oblique axes get the nearest direction.
 */
export function orientation(image: Pick<Image, "voxelToPatient">): string {
  return codeOf(image.voxelToPatient)
    .map(({ direction, positive }) => (letters[direction] as string)[positive ? 0 : 1])
    .join("");
}

interface AxisCode {
  /** The patient axis: 0 is x, 1 is y, 2 is z. */
  direction: 0 | 1 | 2;
  /** Whether the index grows with it. */
  positive: boolean;
}

/** The patient axis nearest to each of i, j and k: the assignment, all three at once, with the largest cosines. */
function codeOf(matrix: readonly number[]): AxisCode[] {
  // Column 2 of the matrix is i, 1 is j, 0 is k.
  const cosine = (axis: number, direction: number) =>
    (matrix[4 * direction + 2 - axis] as number) / axisLength(matrix, 2 - axis);
  const closeness = (order: readonly number[]) =>
    order.reduce((sum, direction, axis) => sum + Math.abs(cosine(axis, direction)), 0);
  const best = permutations.reduce((winner, order) =>
    closeness(order) > closeness(winner) + 1e-9 ? order : winner,
  );
  return best.map((direction, axis) => ({ direction, positive: cosine(axis, direction) > 0 }));
}

function parseCode(code: string): AxisCode[] {
  const axes = [...code].map((letter) => letters.findIndex((pair) => pair.includes(letter)));
  if (code.length !== 3 || new Set(axes).size !== 3 || axes.includes(-1))
    throw expected('three letters, one of "LR", one of "PA" and one of "SI", in any order', "code", code);
  return axes.map((direction, axis) => ({
    direction: direction as 0 | 1 | 2,
    positive: (letters[direction] as string)[0] === code[axis],
  }));
}

/**
 * The same image with its axes swapped and reversed so that `orientation` gives `code` ("LPS", say). No voxel changes its
 * value or its place in the patient; `data` is a new array.
 *
 * @throws `BAD_INPUT` when `code` is not an orientation.
 */
export function reorient(image: Image, code: string): Image {
  const from = codeOf(image.voxelToPatient);
  // For each new axis i, j, k: the old one that lies along it, and whether it runs the other way.
  const moves = parseCode(code).map(({ direction, positive }) => {
    const old = from.findIndex((axis) => axis.direction === direction);
    return { old, reversed: from[old]?.positive !== positive };
  });
  const oldSize = [image.shape[2], image.shape[1], image.shape[0]];
  const oldStrides = [1, oldSize[0] as number, (oldSize[0] as number) * (oldSize[1] as number)];
  const size = moves.map(({ old }) => oldSize[old] as number);
  const steps = moves.map(({ old, reversed }) => (reversed ? -1 : 1) * (oldStrides[old] as number));
  const first = moves.reduce(
    (sum, { old, reversed }) =>
      sum + (reversed ? ((oldSize[old] as number) - 1) * (oldStrides[old] as number) : 0),
    0,
  );
  const [I, J, K] = size as [number, number, number];
  const [stepI, stepJ, stepK] = steps as [number, number, number];
  const data = new Float32Array(image.data.length);
  let target = 0;
  for (let k = 0; k < K; k++) {
    for (let j = 0; j < J; j++) {
      let source = first + k * stepK + j * stepJ;
      for (let i = 0; i < I; i++, source += stepI) data[target++] = image.data[source] as number;
    }
  }

  const old = image.voxelToPatient;
  const voxelToPatient = [0, 1, 2].flatMap((row) => {
    const step = (axis: number) => old[4 * row + 2 - axis] as number;
    const column = (axis: number) => {
      const move = moves[axis] as (typeof moves)[number];
      return (move.reversed ? -1 : 1) * step(move.old) + 0; // + 0 turns -0 into 0
    };
    const origin = moves.reduce(
      (sum, move) => sum + (move.reversed ? ((oldSize[move.old] as number) - 1) * step(move.old) : 0),
      old[4 * row + 3] as number,
    );
    return [column(2), column(1), column(0), origin];
  });
  return { ...image, shape: [K, J, I], data, voxelToPatient: [...voxelToPatient, 0, 0, 0, 1] };
}
