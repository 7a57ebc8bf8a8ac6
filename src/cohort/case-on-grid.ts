import { expected, messageOf, TransferLimitsError, throwIfAborted } from "../common/errors.js";
import { disposeNamed, Tensor } from "../native/tensor.js";
import { bounds, type Normalisation, normalise, resample, smooth, statistics } from "../native/volumes.js";
import {
  antialiasingSigmas,
  applyAffine,
  cropGrid,
  gridToGrid,
  middleOf,
  spacingOf,
  type Triple,
  type VoxelGrid,
} from "./geometry.js";
import { checkCovers, type Image, type OpenImageOptions, readImage } from "./image.js";
import { type VolumeRole, volumeRoles } from "./manifest.js";
import { labelled } from "./mask-values.js";

const imageRoles = ["t2w", "adc", "hbv"] as const;
type ImageRole = (typeof imageRoles)[number];
const isImage = (role: VolumeRole): role is ImageRole => (imageRoles as readonly string[]).includes(role);

/** How a case is brought onto a grid. */
export interface PreprocessOptions {
  /** Height, width, depth of the result. */
  voxels: Triple;
  crop: {
    /** A case without a gland mask is cropped around the middle of its T2W image. */
    around: "gland" | "centre";
    /** Height (front-back), width (left-right), depth (head-foot) in mm; "whole": as far as T2W reaches. */
    fieldOfView: Triple | "whole";
  };
  /** Per volume, over the crop. Default for each: percentiles 0.5 and 99.5. */
  normalise?: Partial<Record<ImageRole, Normalisation>>;
  /** How masks are interpolated. Default label-linear. */
  masks?: "label-linear" | "nearest";
}

/** A reason to leave a case out: the file that is to blame, in words that name it. */
export class Refusal extends TransferLimitsError {
  constructor(
    readonly file: string,
    reason: string,
    cause?: unknown,
  ) {
    super(cause instanceof TransferLimitsError ? cause.code : "BAD_IMAGE", reason, { cause });
  }
}

/** The files of a case's images and masks. */
export type CasePaths = Readonly<Partial<Record<VolumeRole, string>>>;

export const rolesOf = (paths: CasePaths): VolumeRole[] =>
  volumeRoles.filter((role) => paths[role] !== undefined);

/** Reads an image or a mask of a case. @throws `Refusal` */
export const readOfCase = (path: string, options: OpenImageOptions): Promise<Image> =>
  readImage(path, options).catch((error: unknown) => {
    throw new Refusal(path, messageOf(error), error);
  });

/** The options, checked, with axes in the order of tensors. */
export interface GridSettings {
  shape: [number, number, number];
  around: "gland" | "centre";
  /** [D, H, W] */
  fieldOfView: [number, number, number] | "whole";
  normalise: Record<ImageRole, Normalisation>;
  masks: "label-linear" | "nearest";
}

/** The options with defaults filled in, always in the same order: their JSON is a part of the cache's keys. */
export function resolveOptions({
  voxels,
  crop,
  normalise = {},
  masks = "label-linear",
}: PreprocessOptions): GridSettings {
  if (voxels.length !== 3 || !voxels.every((size) => Number.isSafeInteger(size) && size >= 1 && size <= 4096))
    throw expected("height, width and depth, whole numbers from 1 to 4096,", "voxels", voxels);
  const { around, fieldOfView } = crop;
  if (around !== "gland" && around !== "centre") throw expected('"gland" or "centre"', "crop.around", around);
  if (fieldOfView !== "whole" && !(fieldOfView.length === 3 && fieldOfView.every((mm) => mm > 0 && mm < 1e5)))
    throw expected('"whole" or height, width and depth in mm', "crop.fieldOfView", fieldOfView);
  if (masks !== "label-linear" && masks !== "nearest")
    throw expected('"label-linear" or "nearest"', "masks", masks);
  const method = (role: ImageRole): Normalisation => {
    const { kind, ...rest } = normalise[role] ?? { kind: "percentiles", low: 0.5, high: 99.5 };
    if (kind === "z-score") return { kind };
    const { low, high } = rest as { low: number; high: number };
    if (kind !== "percentiles" && kind !== "range")
      throw expected('"percentiles", "range" or "z-score"', `normalise.${role}.kind`, kind);
    const [least, most] = kind === "percentiles" ? [0, 100] : [-Number.MAX_VALUE, Number.MAX_VALUE];
    if (!(low >= least && low < high && high <= most))
      throw expected(`${kind === "range" ? "" : "percentiles with "}low < high`, `normalise.${role}`, [
        low,
        high,
      ]);
    return { kind, low, high };
  };
  const toTensorOrder = ([height, width, depth]: Triple): [number, number, number] => [depth, height, width];
  return {
    shape: toTensorOrder(voxels),
    around,
    fieldOfView: fieldOfView === "whole" ? fieldOfView : toTensorOrder(fieldOfView),
    normalise: { t2w: method("t2w"), adc: method("adc"), hbv: method("hbv") },
    masks,
  };
}

/**
 * Reads all files of a case at once.
 *
 * @throws `ABORTED`; of several that cannot be read, what the first in the order of roles was refused with
 */
export async function readAllOf<T>(
  paths: CasePaths,
  read: (path: string) => Promise<T>,
  signal: AbortSignal | undefined,
): Promise<Partial<Record<VolumeRole, T>>> {
  throwIfAborted(signal);
  const roles = rolesOf(paths);
  const ends = await Promise.allSettled(roles.map((role) => read(paths[role] as string)));
  throwIfAborted(signal);
  const found: Partial<Record<VolumeRole, T>> = {};
  for (const [index, end] of ends.entries()) {
    if (end.status === "rejected") throw end.reason;
    found[roles[index] as VolumeRole] = end.value;
  }
  return found;
}

/** The images and masks of one case on one grid. */
export interface CaseOnGrid {
  /** [D, H, W], float32: images normalised, masks as labels. */
  tensors: Partial<Record<VolumeRole, Tensor>>;
  /** Masks among them without a voxel in the crop. */
  emptyMasks: VolumeRole[];
  /** Masks among them whose file holds values between 0 and 1. */
  gradedMasks: VolumeRole[];
  /** Voxel size in mm, [D, H, W]. */
  spacing: [number, number, number];
  /** Row-major 4x4, as `Image.voxelToPatient`. */
  voxelToPatient: number[];
}

/**
 * Brings a case onto the grid: checks its masks, finds the crop, samples every volume there and normalises the images.
 * The caller disposes the tensors.
 *
 * @param originals what was read; T2W is among them
 * @throws `Refusal` where the case must be left out, `ABORTED`
 */
export async function caseOnGrid(
  originals: Readonly<Partial<Record<VolumeRole, Image>>>,
  settings: GridSettings,
  signal: AbortSignal | undefined,
): Promise<CaseOnGrid> {
  const images = { ...originals };
  const roles = volumeRoles.filter((role) => images[role] !== undefined);
  const gradedMasks: VolumeRole[] = [];
  for (const role of roles) {
    if (isImage(role)) continue;
    const original = images[role] as Image;
    const { image, graded } = await refusing(original, () => labelled(original, role));
    images[role] = image;
    if (graded) gradedMasks.push(role);
  }
  const tensors: Partial<Record<VolumeRole, Tensor>> = {};
  try {
    const grid = await placeCrop(images, settings);
    for (const role of roles) {
      throwIfAborted(signal);
      tensors[role] = await onGrid(role, images[role] as Image, grid, settings);
    }
    const { voxelToPatient } = grid;
    const emptyMasks: VolumeRole[] = [];
    for (const role of roles) {
      if (!isImage(role) && (await bounds(tensors[role] as Tensor)) === null) emptyMasks.push(role);
    }
    return { tensors, emptyMasks, gradedMasks, spacing: spacingOf(voxelToPatient), voxelToPatient };
  } catch (error) {
    disposeNamed(tensors);
    throw error;
  }
}

/** Finds the crop's grid, and checks that the masks lie on T2W. */
async function placeCrop(
  images: Partial<Record<VolumeRole, Image>>,
  settings: GridSettings,
): Promise<VoxelGrid> {
  const t2w = images.t2w as Image;
  const { gland } = images;
  const glandCentre = gland ? await glandMiddle(gland) : null;
  if (gland && glandCentre === null && settings.around === "gland")
    throw new Refusal(gland.path, `${gland.path} is empty: there is no gland to crop around`);
  for (const role of volumeRoles) {
    const mask = images[role];
    if (mask === undefined || isImage(role)) continue;
    const partOfGland = glandCentre !== null && (role === "zones" || role === "lesion");
    await refusing(mask, () => checkCovers(mask, t2w, 0.5, partOfGland ? gland : undefined));
  }
  const centre = settings.around === "gland" ? glandCentre : null;
  return cropGrid(t2w, settings.shape, settings.fieldOfView, centre ?? middleOf(t2w));
}

/** The patient position of the middle of the box around the gland; null for an empty mask. */
async function glandMiddle(gland: Image): Promise<Triple | null> {
  using mask = Tensor.sharing(gland.data, gland.shape);
  const box = await bounds(mask);
  if (box === null) return null;
  const middle = box.low.map((low, axis) => (low + (box.high[axis] as number)) / 2);
  return applyAffine(gland.voxelToPatient, middle);
}

/** One volume on the crop's grid, ready to be written. */
async function onGrid(
  role: VolumeRole,
  image: Image,
  grid: VoxelGrid,
  settings: GridSettings,
): Promise<Tensor> {
  const outputToInput = gridToGrid(grid.voxelToPatient, image.voxelToPatient);
  const { shape } = settings;
  using source = Tensor.sharing(image.data, image.shape);
  if (!isImage(role)) return resample(source, { outputToInput, shape, interpolation: settings.masks });

  const sigmas = antialiasingSigmas(outputToInput);
  using smoothed = sigmas.some((sigma) => sigma > 0) ? await smooth(source, sigmas) : null;
  using cropped = await resample(smoothed ?? source, { outputToInput, shape, interpolation: "linear" });
  const { minimum, maximum } = await statistics(cropped);
  if (minimum === maximum) {
    throw new Refusal(
      image.path,
      `${image.path} shows nothing: all its voxels in the crop are ${minimum}; expected an image that reaches the crop ` +
        "by position in the patient",
    );
  }
  return normalise(cropped, settings.normalise[role]);
}

/** Checks an image; what is refused leaves the case out. */
async function refusing<T>(image: Image, check: () => T | Promise<T>): Promise<T> {
  try {
    return await check();
  } catch (error) {
    if (error instanceof TransferLimitsError && error.code === "BAD_IMAGE")
      throw new Refusal(image.path, error.message);
    throw error;
  }
}
