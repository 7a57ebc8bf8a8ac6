import { expected, messageOf, TransferLimitsError, throwIfAborted } from "../common/errors.js";
import { disposeNamed, Tensor } from "../native/tensor.js";
import {
  bounds,
  countLabels,
  type Normalisation,
  normalise,
  resample,
  smooth,
  statistics,
} from "../native/volumes.js";
import { type CohortColumns, type MaskRole, type VolumeRole, volumeRolesOf } from "./columns.js";
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
import { type Image, type OpenImageOptions, readImage } from "./image.js";
import { type LabelVolumes, measuredMasks } from "./labels.js";
import { checkCovers } from "./mask-coverage.js";
import { labelled } from "./mask-values.js";
import { prostateColumns } from "./presets/prostate.js";

/** How a case is brought onto a grid. */
export interface PreprocessOptions {
  /** Height, width, depth of the result. */
  voxels: Triple;
  crop: {
    /** A mask, or `centre`; a case without the mask is cropped around the middle of its reference. Default: the columns'. */
    around?: string | undefined;
    /** Height (front-back), width (left-right), depth (head-foot) in mm; "whole": as far as the reference reaches. */
    fieldOfView: Triple | "whole";
  };
  /** Per volume, over the crop. Default for each: percentiles 0.5 and 99.5. */
  normalise?: Readonly<Record<string, Normalisation>>;
  /** How masks are interpolated. Default label-linear. */
  masks?: "label-linear" | "nearest";
  /** What the cohort's images and masks are. Default: a prostate's. */
  columns?: CohortColumns;
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
export type CasePaths = Readonly<Record<VolumeRole, string>>;

/** Of the images and masks of a cohort, those that a case has, always in the same order. */
export const rolesOf = (paths: Readonly<Record<VolumeRole, unknown>>, columns: CohortColumns): VolumeRole[] =>
  volumeRolesOf(columns).filter((role) => paths[role] !== undefined);

/** Reads an image or a mask of a case. @throws `Refusal` */
export const readOfCase = (path: string, options: OpenImageOptions): Promise<Image> =>
  readImage(path, options).catch((error: unknown) => {
    throw new Refusal(path, messageOf(error), error);
  });

/** The options, checked, with axes in the order of tensors. */
export interface GridSettings {
  shape: [number, number, number];
  around: string;
  /** [D, H, W] */
  fieldOfView: [number, number, number] | "whole";
  normalise: Record<string, Normalisation>;
  masks: "label-linear" | "nearest";
  columns: CohortColumns;
}

/** What of the settings changes voxels, or what is measured of them, as a text that is the same for the same settings. */
export function settingsText({ columns, ...settings }: GridSettings): string {
  const { images, masks, reference } = columns;
  // Of a prostate's columns, the settings alone say everything.
  if (columns === prostateColumns) return JSON.stringify(settings);
  const ofMasks = Object.entries(masks).map(([name, { labels, closed, partOf }]) => ({
    name,
    labels,
    closed,
    partOf,
  }));
  const own = { images: Object.keys(images), reference, masks: ofMasks, measured: measuredMasks(columns) };
  return JSON.stringify({ ...settings, columns: own });
}

/** The options with defaults filled in, always in the same order: their JSON is a part of the cache's keys. */
export function resolveOptions({
  voxels,
  crop,
  normalise = {},
  masks = "label-linear",
  columns = prostateColumns,
}: PreprocessOptions): GridSettings {
  if (voxels.length !== 3 || !voxels.every((size) => Number.isSafeInteger(size) && size >= 1 && size <= 4096))
    throw expected("height, width and depth, whole numbers from 1 to 4096,", "voxels", voxels);
  const { around = columns.around, fieldOfView } = crop;
  if (around !== "centre" && !Object.hasOwn(columns.masks, around))
    throw expected(
      `${Object.keys(columns.masks)
        .map((mask) => `"${mask}"`)
        .concat('"centre"')
        .join(" or ")}`,
      "crop.around",
      around,
    );
  if (fieldOfView !== "whole" && !(fieldOfView.length === 3 && fieldOfView.every((mm) => mm > 0 && mm < 1e5)))
    throw expected('"whole" or height, width and depth in mm', "crop.fieldOfView", fieldOfView);
  if (masks !== "label-linear" && masks !== "nearest")
    throw expected('"label-linear" or "nearest"', "masks", masks);
  const method = (role: string): Normalisation => {
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
    normalise: Object.fromEntries(Object.keys(columns.images).map((image) => [image, method(image)])),
    masks,
    columns,
  };
}

/**
 * Reads all files of a case at once.
 *
 * @throws `ABORTED`; of several that cannot be read, what the first in the order of roles was refused with
 */
export async function readAllOf<T>(
  paths: CasePaths,
  columns: CohortColumns,
  read: (path: string) => Promise<T>,
  signal: AbortSignal | undefined,
): Promise<Record<VolumeRole, T>> {
  throwIfAborted(signal);
  const roles = rolesOf(paths, columns);
  const ends = await Promise.allSettled(roles.map((role) => read(paths[role] as string)));
  throwIfAborted(signal);
  const found: Record<VolumeRole, T> = {};
  for (const [index, end] of ends.entries()) {
    if (end.status === "rejected") throw end.reason;
    found[roles[index] as VolumeRole] = end.value;
  }
  return found;
}

/** The images and masks of one case on one grid. */
export interface CaseOnGrid {
  /** [D, H, W], float32: images normalised, masks as labels. */
  tensors: Record<VolumeRole, Tensor>;
  /** Masks among them without a voxel in the crop. */
  emptyMasks: MaskRole[];
  /** Masks among them whose file holds values between 0 and 1. */
  gradedMasks: MaskRole[];
  /** By mask whose volume a label follows from, that of each of its labels as its file holds them, in mm³. */
  maskVolumes: Record<MaskRole, LabelVolumes>;
  /** Voxel size in mm, [D, H, W]. */
  spacing: [number, number, number];
  /** Row-major 4x4, as `Image.voxelToPatient`. */
  voxelToPatient: number[];
}

/**
 * Brings a case onto the grid: checks its masks, finds the crop, samples every volume there and normalises the images.
 * The caller disposes the tensors.
 *
 * @param originals what was read; the reference is among them
 * @throws `Refusal` where the case must be left out, `ABORTED`
 */
export async function caseOnGrid(
  originals: Readonly<Record<VolumeRole, Image>>,
  settings: GridSettings,
  signal: AbortSignal | undefined,
): Promise<CaseOnGrid> {
  const { columns } = settings;
  const images = { ...originals };
  const roles = rolesOf(images, columns);
  const gradedMasks: MaskRole[] = [];
  const maskVolumes: CaseOnGrid["maskVolumes"] = {};
  const measured = measuredMasks(columns);
  for (const role of roles) {
    const column = columns.masks[role];
    if (column === undefined) continue;
    const original = images[role] as Image;
    const { image, graded } = await refusing(original, () => labelled(original, column));
    images[role] = image;
    if (graded) gradedMasks.push(role);
    if (measured.includes(role)) maskVolumes[role] = await volumesOf(image);
  }
  const tensors: Record<VolumeRole, Tensor> = {};
  try {
    const grid = await placeCrop(images, settings);
    for (const role of roles) {
      throwIfAborted(signal);
      tensors[role] = await onGrid(role, images[role] as Image, grid, settings);
    }
    const { voxelToPatient } = grid;
    const emptyMasks: MaskRole[] = [];
    for (const role of roles) {
      if (columns.masks[role] && (await bounds(tensors[role] as Tensor)) === null) emptyMasks.push(role);
    }
    return {
      tensors,
      emptyMasks,
      gradedMasks,
      maskVolumes,
      spacing: spacingOf(voxelToPatient),
      voxelToPatient,
    };
  } catch (error) {
    disposeNamed(tensors);
    throw error;
  }
}

/** The volume in mm³ of each label of a mask on its own grid. */
async function volumesOf({ data, shape, voxelToPatient }: Image): Promise<LabelVolumes> {
  const [depth, height, width] = spacingOf(voxelToPatient);
  using mask = Tensor.sharing(data, shape);
  const counts = await countLabels(mask);
  return Object.fromEntries(counts.map(({ label, voxels }) => [label, voxels * depth * height * width]));
}

/** Finds the crop's grid, and checks that the masks lie on the reference. */
async function placeCrop(
  images: Readonly<Record<VolumeRole, Image>>,
  { columns, around, shape, fieldOfView }: GridSettings,
): Promise<VoxelGrid> {
  const reference = images[columns.reference] as Image;
  const middles = new Map<MaskRole, Triple | null>();
  const middleOfMask = async (role: MaskRole): Promise<Triple | null> => {
    const mask = images[role];
    if (!middles.has(role)) middles.set(role, mask ? await maskMiddle(mask) : null);
    return middles.get(role) ?? null;
  };
  const centre = around === "centre" ? null : await middleOfMask(around);
  const target = images[around];
  if (around !== "centre" && target && centre === null)
    throw new Refusal(target.path, `${target.path} is empty: there is no ${around} to crop around`);
  for (const [role, { partOf }] of Object.entries(columns.masks)) {
    const mask = images[role];
    if (mask === undefined) continue;
    const organ = partOf !== undefined && (await middleOfMask(partOf)) !== null ? images[partOf] : undefined;
    await refusing(mask, () => checkCovers(mask, reference, 0.5, organ));
  }
  return cropGrid(reference, shape, fieldOfView, centre ?? middleOf(reference));
}

/** The patient position of the middle of the box around what a mask shows; null for an empty one. */
async function maskMiddle({ data, shape, voxelToPatient }: Image): Promise<Triple | null> {
  using mask = Tensor.sharing(data, shape);
  const box = await bounds(mask);
  if (box === null) return null;
  const middle = box.low.map((low, axis) => (low + (box.high[axis] as number)) / 2);
  return applyAffine(voxelToPatient, middle);
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
  if (settings.columns.masks[role])
    return resample(source, { outputToInput, shape, interpolation: settings.masks });

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
  return normalise(cropped, settings.normalise[role] as Normalisation);
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
