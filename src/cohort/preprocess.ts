import { dirname, relative } from "node:path";
import { expected, throwIfAborted } from "../common/errors.js";
import type { OnDamage } from "../common/set-aside.js";
import { disposeNamed } from "../native/tensor.js";
import { contentHash, type EntryMetadata, entryKey, sameStates, statesOf, VolumeCache } from "./cache.js";
import {
  caseOnGrid,
  type GridSettings,
  type PreprocessOptions,
  Refusal,
  readAllOf,
  readOfCase,
  resolveOptions,
  rolesOf,
  settingsText,
} from "./case-on-grid.js";
import { type CaseLabels, type MaskRole, type VolumeRole, volumeRolesOf } from "./columns.js";
import type { Image, OpenImageOptions } from "./image.js";
import { measuredLabels } from "./labels.js";
import type { CohortCase, Manifest } from "./manifest.js";

export type { PreprocessOptions } from "./case-on-grid.js";

/** A case that is ready to train on. Plain data: it stands in JSON files, and goes to worker processes. */
export interface PreparedCase {
  id: string;
  patient: string;
  labels: CaseLabels;
  /** Absolute path of a safetensors file with a float32 tensor [D, H, W] for each of `volumes`. */
  file: string;
  volumes: VolumeRole[];
  /** Masks among them without a voxel in the crop; absent where there is none. */
  emptyMasks?: MaskRole[];
  /** Masks among them whose file holds values between 0 and 1: foreground is what was above one half there. */
  gradedMasks?: MaskRole[];
  /** Voxel size in mm, [D, H, W]. */
  spacing: [number, number, number];
}

/** A case that took no part, and why. */
export interface Exclusion {
  /** Its id in the manifest. */
  case: string;
  /** The file that was refused, relative to the manifest; null where the reason is not one file. */
  file: string | null;
  reason: string;
}

/** What prepares cases beside this process, into the same cache, one at a time. */
export interface CaseHelper extends AsyncDisposable {
  /** Once it does not, it takes no more cases. */
  readonly lives: boolean;
  /**
   * One case at a time. Disposing of the helper ends it, whatever it works on.
   *
   * @returns null where it ended without an answer
   * @throws what preparing the case here would throw
   */
  prepare(one: CaseToPrepare): Promise<PreparedCase | null>;
}

/** How many may help, after how many milliseconds (to start a process takes half a second of a processor), and how. */
export interface Helpers {
  most: number;
  after: number;
  start: () => CaseHelper;
}

export interface PreparationEvent {
  done: number;
  total: number;
  case: string;
  /** Why the case is left out; null where it is ready. */
  excluded: string | null;
}

/**
 * Brings every case of a cohort onto the study's grid: images and masks are sampled by physical position, in one
 * interpolation from their own grids, on a crop along the reference's axes (k to the head, j to the back, i to the left); images
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
    signal?: AbortSignal | undefined;
    onCase?: (event: PreparationEvent) => void;
    /** Told of volumes in the cache that were damaged: they are set aside, and made again. */
    onDamage?: OnDamage;
    /** Takes cached volumes without a look at their contents: right where none will be used. Default false. */
    trustCache?: boolean;
    /** How many cases are in memory at a time. Default 2: one is read while another is computed. */
    concurrency?: number;
    /** Who may help. Default: nobody. */
    helpers?: Helpers | null;
  },
): Promise<{ cases: PreparedCase[]; excluded: Exclusion[] }> {
  const settings = resolveOptions(options);
  const { concurrency = 2, helpers = null, images = {}, trustCache = false } = where;
  const { signal, onCase, onDamage = () => {} } = where;
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
  const here = (one: CaseToPrepare) => prepareCase(one, settings, { cache, find, images, signal });
  const takeCases = async (prepare: typeof here, goesOn = () => true) => {
    while (next < total && !failed && goesOn()) {
      const index = next++;
      const cohortCase = manifest.cases[index] as CohortCase;
      let excluded: string | null = null;
      try {
        results[index] = await prepare(cohortCase);
      } catch (error) {
        if (!(error instanceof Refusal)) {
          failed = true;
          throw error;
        }
        const exclusion = exclusionOf(error, cohortCase.id, folder);
        results[index] = exclusion;
        excluded = exclusion.reason;
      }
      done++;
      onCase?.({ done, total, case: cohortCase.id, excluded });
    }
  };
  const started: CaseHelper[] = [];
  const assist = async (start: Helpers["start"]) => {
    await using helper = start();
    started.push(helper);
    await takeCases(
      async (one) => (await helper.prepare(one)) ?? here(one),
      () => helper.lives,
    );
  };
  const helping: Promise<void>[] = [];
  const begin = ({ most, start }: Helpers) => {
    for (let count = Math.min(most, total - next); count > 0; count--) helping.push(assist(start));
  };
  const later = helpers ? setTimeout(begin, helpers.after, helpers) : undefined;
  const endAll = () => {
    for (const helper of started) void helper[Symbol.asyncDispose]();
  };
  signal?.addEventListener("abort", endAll, { once: true });
  const ends = await Promise.allSettled(
    Array.from({ length: Math.min(concurrency, total) }, () => takeCases(here)),
  );
  clearTimeout(later);
  ends.push(...(await Promise.allSettled(helping)));
  signal?.removeEventListener("abort", endAll);
  for (const end of ends) if (end.status === "rejected") throw end.reason;
  return {
    cases: results.filter((result): result is PreparedCase => "id" in result),
    excluded: results.filter((result): result is Exclusion => "reason" in result),
  };
}

/**
 * Why a case is left out, with paths as a manifest in `folder` gives them, for a report is read on another machine; null:
 * with paths as they are.
 */
export const exclusionOf = (refusal: Refusal, id: string, folder: string | null): Exclusion => ({
  case: id,
  file: folder === null ? refusal.file : relative(folder, refusal.file),
  reason: folder === null ? refusal.message : refusal.message.replaceAll(`${folder}/`, ""),
});

/** What of a case its preparation asks for. */
export type CaseToPrepare = Pick<CohortCase, "id" | "patient" | "labels" | "volumes">;

/** As `prepareCohort`, for cases that come one by one. @throws of the function: `Refusal`, `ABORTED` */
export async function openPreparation(
  options: PreprocessOptions,
  where: {
    cache: string;
    images: OpenImageOptions;
    signal: AbortSignal | undefined;
    /** As for `prepareCohort`. */
    onDamage: OnDamage;
  },
): Promise<(one: CaseToPrepare) => Promise<PreparedCase>> {
  const settings = resolveOptions(options);
  const cache = await VolumeCache.open(where.cache);
  const find: FindEntry = (key) => cache.findSound(key, settings.shape, where.onDamage);
  return (one) => prepareCase(one, settings, { ...where, cache, find });
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
    if (entry) found.push(asPrepared(one, entry, cache, settings));
  }
  return found;
}

/** An entry of the cache by its key; null where it is not there, or must be made again. */
type FindEntry = (key: string) => Promise<EntryMetadata | null>;

async function prepareCase(
  cohortCase: CaseToPrepare,
  settings: GridSettings,
  where: { cache: VolumeCache; find: FindEntry; images: OpenImageOptions; signal: AbortSignal | undefined },
): Promise<PreparedCase> {
  const { cache, find, signal } = where;
  throwIfAborted(signal);
  const known = await knownEntry(cohortCase, settings, cache, find);
  if (known) return asPrepared(cohortCase, known, cache, settings);

  const { volumes: paths } = cohortCase;
  const originals = await readAllOf(
    paths,
    settings.columns,
    (path) => readOriginal(path, cache, where.images),
    signal,
  );
  const images: Record<VolumeRole, Image> = {};
  const contents: Record<VolumeRole, string> = {};
  const roles = rolesOf(paths, settings.columns);
  for (const role of roles) {
    const { image, content } = originals[role] as Original;
    images[role] = image;
    contents[role] = content;
  }
  // The same content may lie under another name.
  const key = keyOf(settings, contents);
  const entry = await find(key);
  if (entry) return asPrepared(cohortCase, entry, cache, settings);

  const { tensors, ...made } = await caseOnGrid(images, settings, signal);
  try {
    const metadata = { key, volumes: roles, ...made };
    await cache.write(metadata, tensors);
    return asPrepared(cohortCase, metadata, cache, settings);
  } finally {
    disposeNamed(tensors);
  }
}

/** The entry of a case whose files were read before and have not changed since; null where there is none. */
async function knownEntry(
  cohortCase: CaseToPrepare,
  settings: GridSettings,
  cache: VolumeCache,
  find: FindEntry,
): Promise<EntryMetadata | null> {
  const known: Record<VolumeRole, string> = {};
  for (const role of rolesOf(cohortCase.volumes, settings.columns)) {
    const content = await cache.contentOf(cohortCase.volumes[role] as string);
    if (content === null) return null;
    known[role] = content;
  }
  return find(keyOf(settings, known));
}

const keyOf = (settings: GridSettings, contents: Readonly<Record<VolumeRole, string>>): string =>
  entryKey(settingsText(settings), volumeRolesOf(settings.columns), contents);

/** A case, and what the cache's entry says about it. */
function asPrepared(
  { id, patient, labels: known }: CaseToPrepare,
  {
    key,
    volumes,
    emptyMasks,
    gradedMasks,
    maskVolumes,
    spacing,
  }: Omit<EntryMetadata, "format" | "voxelToPatient">,
  cache: VolumeCache,
  { columns }: GridSettings,
): PreparedCase {
  const masks = {
    ...(emptyMasks.length === 0 ? {} : { emptyMasks }),
    ...(gradedMasks.length === 0 ? {} : { gradedMasks }),
  };
  const labels = measuredLabels(known, maskVolumes, columns);
  return { id, patient, labels, file: cache.pathOf(key), volumes, ...masks, spacing };
}

interface Original {
  image: Image;
  content: string;
}

/** Reads an image and its content's hash, which is kept if the file did not change meanwhile. */
async function readOriginal(path: string, cache: VolumeCache, options: OpenImageOptions): Promise<Original> {
  const before = await statesOf(path, options.root);
  const image = await readOfCase(path, options);
  const content = contentHash(image);
  if (sameStates(before, await statesOf(path, options.root))) await cache.remember(path, before, content);
  return { image, content };
}
