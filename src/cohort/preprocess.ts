import { dirname, relative } from "node:path";
import { expected, messageOf, TransferLimitsError, throwIfAborted } from "../common/errors.js";
import type { OnDamage } from "../common/set-aside.js";
import { Tensor } from "../native/tensor.js";
import { bounds, type Normalisation, normalise, resample, smooth, statistics } from "../native/volumes.js";
import { contentHash, type EntryMetadata, entryKey, sameStates, statesOf, VolumeCache } from "./cache.js";
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
import { type CohortCase, type Manifest, type VolumeRole, volumeRoles } from "./manifest.js";
import { labelled } from "./mask-values.js";

const imageRoles = ["t2w", "adc", "hbv"] as const;
type ImageRole = (typeof imageRoles)[number];
const isImage = (role: VolumeRole): role is ImageRole => (imageRoles as readonly string[]).includes(role);

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

/** A case that is ready to train on. Plain data: it stands in JSON files, and goes to worker processes. */
export interface PreparedCase {
  id: string;
  patient: string;
  pirads: number | null;
  /** Absolute path of a safetensors file with a float32 tensor [D, H, W] for each of `volumes`. */
  file: string;
  volumes: VolumeRole[];
  /** Masks among them without a voxel in the crop; absent where there is none. */
  emptyMasks?: VolumeRole[];
  /** Masks among them whose file holds values between 0 and 1: foreground is what was above one half there. */
  gradedMasks?: VolumeRole[];
  /** Voxel size in mm, [D, H, W]. */
  spacing: [number, number, number];
}

export interface Exclusion {
  case: string;
  /** The file that was refused, relative to the manifest; null where the reason is not one file. */
  file: string | null;
  reason: string;
}

export interface PreparationEvent {
  done: number;
  total: number;
  case: string;
  /** Why the case is left out; null where it is ready. */
  excluded: string | null;
}

/** A reason to leave a case out. */
class Refusal extends Error {
  constructor(
    readonly file: string | null,
    reason: string,
  ) {
    super(reason);
  }
}

/**
 * Brings every case of a cohort onto the study's grid: images and masks are sampled by physical position, in one
 * interpolation from their own grids, on a crop along T2W's axes (k to the head, j to the back, i to the left); images
 * linearly, after a Gaussian where they are made coarser; then normalised. Results are cached by content: what was
 * prepared before is found again without reading an original.
 *
 * A case whose files cannot be used is left out, with the reason, and judged anew the next time.
 *
 * @returns cases and exclusions in the order of the manifest
 * @throws `BAD_INPUT` for an impossible option, `ABORTED` when `signal` was aborted
 */
export async function prepareCohort(
  manifest: Manifest,
  options: PreprocessOptions,
  where: {
    /** Folder of the cache. */
    cache: string;
    /** How image files are opened. */
    images?: OpenImageOptions;
    signal?: AbortSignal;
    onCase?: (event: PreparationEvent) => void;
    /** Told of volumes in the cache that were damaged: they are set aside, and made again. */
    onDamage?: OnDamage;
    /** Takes cached volumes without a look at their contents: right where none will be used. Default false. */
    trustCache?: boolean;
    /** How many cases are in memory at a time. Default 2: one is read while another is computed. */
    concurrency?: number;
  },
): Promise<{ cases: PreparedCase[]; excluded: Exclusion[] }> {
  const settings = resolveOptions(options);
  const { concurrency = 2, images = {}, signal, onCase, onDamage = () => {}, trustCache = false } = where;
  if (!Number.isSafeInteger(concurrency) || concurrency < 1)
    throw expected("a whole number of at least 1", "concurrency", concurrency);

  const cache = await VolumeCache.open(where.cache);
  const find: FindEntry = (key) =>
    trustCache ? cache.find(key, settings.shape) : cache.findSound(key, settings.shape, onDamage);
  const folder = dirname(manifest.path);
  const total = manifest.cases.length;
  const results: (PreparedCase | Exclusion)[] = new Array(total);
  let next = 0;
  let done = 0;
  let failed = false;
  const worker = async () => {
    while (next < total && !failed) {
      const index = next++;
      const cohortCase = manifest.cases[index] as CohortCase;
      let excluded: string | null = null;
      try {
        results[index] = await prepareCase(cohortCase, settings, { cache, find, images, signal });
      } catch (error) {
        if (!(error instanceof Refusal)) {
          failed = true;
          throw error;
        }
        // Paths as the manifest gives them: a report is read on another machine.
        excluded = error.message.replaceAll(`${folder}/`, "");
        const file = error.file === null ? null : relative(folder, error.file);
        results[index] = { case: cohortCase.id, file, reason: excluded };
      }
      done++;
      onCase?.({ done, total, case: cohortCase.id, excluded });
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: Math.min(concurrency, total) }, worker));
  for (const end of ends) if (end.status === "rejected") throw end.reason;
  return {
    cases: results.filter((result): result is PreparedCase => "id" in result),
    excluded: results.filter((result): result is Exclusion => "reason" in result),
  };
}

/**
 * The cases of a cohort that were prepared before and whose files have not changed since, as `prepareCohort` would give
 * them. No image is opened, and nothing is written.
 */
export async function preparedBefore(
  manifest: Manifest,
  options: PreprocessOptions,
  cacheFolder: string,
): Promise<PreparedCase[]> {
  const settings = resolveOptions(options);
  const cache = await VolumeCache.open(cacheFolder, { make: false });
  const found: PreparedCase[] = [];
  for (const one of manifest.cases) {
    const entry = await knownEntry(one, settings, cache, (key) => cache.find(key, settings.shape));
    if (entry) found.push(asPrepared(one, entry, cache));
  }
  return found;
}

/** An entry of the cache by its key; null where it is not there, or must be made again. */
type FindEntry = (key: string) => Promise<EntryMetadata | null>;

interface Settings {
  shape: [number, number, number];
  around: "gland" | "centre";
  /** [D, H, W] */
  fieldOfView: [number, number, number] | "whole";
  normalise: Record<ImageRole, Normalisation>;
  masks: "label-linear" | "nearest";
}

/** The options with defaults filled in, always in the same order: their JSON is a part of the cache's keys. */
function resolveOptions({
  voxels,
  crop,
  normalise = {},
  masks = "label-linear",
}: PreprocessOptions): Settings {
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

const rolesOf = ({ volumes }: CohortCase): VolumeRole[] =>
  volumeRoles.filter((role) => volumes[role] !== undefined);

async function prepareCase(
  cohortCase: CohortCase,
  settings: Settings,
  where: { cache: VolumeCache; find: FindEntry; images: OpenImageOptions; signal: AbortSignal | undefined },
): Promise<PreparedCase> {
  const { cache, find, signal } = where;
  throwIfAborted(signal);
  const roles = rolesOf(cohortCase);
  const known = await knownEntry(cohortCase, settings, cache, find);
  if (known) return asPrepared(cohortCase, known, cache);

  const images: Partial<Record<VolumeRole, Image>> = {};
  const contents: Partial<Record<VolumeRole, string>> = {};
  const originals = await Promise.allSettled(
    roles.map((role) => readOriginal(cohortCase.volumes[role] as string, cache, where.images)),
  );
  throwIfAborted(signal);
  for (const [index, original] of originals.entries()) {
    if (original.status === "rejected") throw original.reason; // of several, the first in the order of roles
    const role = roles[index] as VolumeRole;
    images[role] = original.value.image;
    contents[role] = original.value.content;
  }
  // The same content may lie under another name.
  const key = entryKey(JSON.stringify(settings), contents);
  const entry = await find(key);
  if (entry) return asPrepared(cohortCase, entry, cache);

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
    const spacing = spacingOf(voxelToPatient);
    const metadata = { key, volumes: roles, emptyMasks, gradedMasks, spacing, voxelToPatient };
    await cache.write(metadata, tensors);
    return asPrepared(cohortCase, metadata, cache);
  } finally {
    for (const tensor of Object.values(tensors)) tensor.dispose();
  }
}

/** The entry of a case whose files were read before and have not changed since; null where there is none. */
async function knownEntry(
  cohortCase: CohortCase,
  settings: Settings,
  cache: VolumeCache,
  find: FindEntry,
): Promise<EntryMetadata | null> {
  const known: Partial<Record<VolumeRole, string>> = {};
  for (const role of rolesOf(cohortCase)) {
    const content = await cache.contentOf(cohortCase.volumes[role] as string);
    if (content === null) return null;
    known[role] = content;
  }
  return find(entryKey(JSON.stringify(settings), known));
}

/** A case, and what the cache's entry says about it. */
function asPrepared(
  { id, patient, pirads }: CohortCase,
  { key, volumes, emptyMasks, gradedMasks, spacing }: Omit<EntryMetadata, "format" | "voxelToPatient">,
  cache: VolumeCache,
): PreparedCase {
  const masks = {
    ...(emptyMasks.length === 0 ? {} : { emptyMasks }),
    ...(gradedMasks.length === 0 ? {} : { gradedMasks }),
  };
  return { id, patient, pirads, file: cache.pathOf(key), volumes, ...masks, spacing };
}

/** Reads an image and its content's hash, which is kept if the file did not change meanwhile. */
async function readOriginal(
  path: string,
  cache: VolumeCache,
  options: OpenImageOptions,
): Promise<{ image: Image; content: string }> {
  const before = await statesOf(path, options.root);
  const image = await readImage(path, options).catch((error: unknown) => {
    throw new Refusal(path, messageOf(error));
  });
  const content = contentHash(image);
  if (sameStates(before, await statesOf(path, options.root))) await cache.remember(path, before, content);
  return { image, content };
}

/** Finds the crop's grid, and checks that the masks lie on T2W. */
async function placeCrop(images: Partial<Record<VolumeRole, Image>>, settings: Settings): Promise<VoxelGrid> {
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
async function onGrid(role: VolumeRole, image: Image, grid: VoxelGrid, settings: Settings): Promise<Tensor> {
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
