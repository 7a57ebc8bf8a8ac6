import { z } from "zod";
import { requireOptions, requirePath, requireSignal } from "../common/arguments.js";
import { describe, expected } from "../common/errors.js";
import { codedError } from "../common/system-errors.js";
import { checked, section } from "../common/validation.js";
import type { Tensor } from "../native/tensor.js";
import type { Normalisation } from "../native/volumes.js";
import {
  type CaseOnGrid,
  type CasePaths,
  caseOnGrid,
  type PreprocessOptions,
  readAllOf,
  readOfCase,
  resolveOptions,
} from "./case-on-grid.js";
import type { CohortColumns } from "./columns.js";
import { type ColumnsConfig, columnsOf, normalisationOf } from "./own-columns.js";
import { prostateColumns } from "./presets/prostate.js";
import {
  cohortSchema,
  completeCohort,
  openingOf,
  type Preparation,
  preparationFields,
  type preparationSchema,
} from "./schema.js";

/** The files of one case: its image, and what lies beside it. Each is on its own grid. */
export interface CaseFiles {
  /** The image on whose axes the grid lies: T2W, or whatever image there is. */
  t2w: string;
  adc?: string;
  /** The high-b diffusion image. */
  hbv?: string;
  /** Mask of the prostate; the crop is around it, unless `crop.around` says otherwise. */
  gland?: string;
  /** 1 peripheral, 2 transition. */
  zones?: string;
  lesion?: string;
  rectum?: string;
}

/** How images are read and brought onto a grid: what a study's `cohort` section says, with the same defaults. */
export interface PreparationOptions {
  /** Height, width and depth of the grid in voxels. Default: the paper's 200, 200, 96. */
  voxels?: [number, number, number];
  /** The box of the patient that is kept. Default: all that the image reaches. */
  crop?: {
    /** `centre`, or a mask. Default `"gland"`: around the gland's middle; without a gland, around the image's. */
    around?: string;
    /** Height (front-back), width (left-right) and depth (head-foot) in mm. Default `"whole"`. */
    fieldOfView?: "whole" | [number, number, number];
  };
  /** How the values in the crop are scaled. Default: each image's 0.5 and 99.5 percentiles become 0 and 1. */
  normalise?: Partial<Record<"t2w" | "adc" | "hbv", Normalisation>>;
  /** How masks are interpolated. Default `"label-linear"`. */
  masks?: "label-linear" | "nearest";
  /** How image files are opened: where data files may lie that a header names, and the limits of `readImage`. */
  images?: { root?: string | null; voxels?: number; expansion?: number };
}

/** How one image is prepared. */
export interface PrepareVolumeOptions extends PreparationOptions {
  /** Stops the work between two volumes. */
  signal?: AbortSignal;
}

/** One case on the grid. Tensors are [D, H, W], float32: k to the head, j to the back, i to the left. */
export interface PreparedVolume extends Partial<Record<Exclude<keyof CaseFiles, "t2w">, Tensor>>, Disposable {
  /** Normalised, as `adc` and `hbv` are; masks hold their labels. */
  t2w: Tensor;
  /** Voxel size in mm, [D, H, W]. */
  spacing: [number, number, number];
  /** Row-major 4x4: voxel index (k, j, i, 1) to patient position (x, y, z, 1) in mm, LPS. */
  voxelToPatient: number[];
  /** Masks without a voxel in the crop. */
  emptyMasks: string[];
}

export const filePath = z.string().refine((path) => path !== "" && !path.includes("\0"), {
  error: ({ input }) => `expected the path of a file but received ${describe(input)}`,
});

/** What `CaseFiles` has, each a path. */
export const caseFilesFields = {
  t2w: filePath,
  adc: filePath.optional(),
  hbv: filePath.optional(),
  gland: filePath.optional(),
  zones: filePath.optional(),
  lesion: filePath.optional(),
  rectum: filePath.optional(),
} satisfies Record<keyof CaseFiles, z.ZodType>;
const caseFilesSchema = section(caseFilesFields);

/**
 * The preparation that options say, with the study's defaults filled in.
 *
 * @param besides names of options of another kind, which are not looked at
 * @throws `BAD_INPUT` naming each wrong field, and each that is none
 */
export function preparationOf(
  options: PreparationOptions & z.input<typeof preparationSchema>,
  besides: readonly string[],
): Preparation {
  const others = Object.fromEntries(besides.map((name) => [name, z.unknown().optional()]));
  const { voxels, crop, normalise, masks, images } = checked(
    section({ ...others, ...preparationFields }),
    options,
    "options",
  ) as Preparation;
  return { voxels, crop, normalise, masks, images };
}

/** A preparation of images of any columns; absent: of a prostate's. */
export type ColumnPreparation = Omit<Preparation, "crop" | "normalise"> &
  Pick<PreprocessOptions, "crop" | "normalise"> & { columns?: CohortColumns };

/**
 * The preparation that options say of columns of one's own, each image's normalisation with its column.
 *
 * @param options as a study's `cohort` holds them
 * @throws `BAD_INPUT` as `preparationOf`
 */
export function preparationOfColumns(
  columns: ColumnsConfig,
  options: object,
  besides: readonly string[],
): ColumnPreparation {
  const own = Object.entries(options).filter(([name]) => name !== "columns" && !besides.includes(name));
  const unknown = own.find(([name]) => !Object.hasOwn(preparationFields, name));
  if (unknown) throw expected("options of the preparation", `options.${unknown[0]}`, unknown[1]);
  const given = { ...Object.fromEntries(own), columns, manifest: "none" };
  const cohort = completeCohort(checked(cohortSchema, given, "options"));
  const { voxels, crop, masks, images } = cohort;
  return { voxels, crop, masks, images, normalise: normalisationOf(cohort), columns: columnsOf(cohort) };
}

/**
 * Reads one image and prepares it as a study prepares a case: sampled by physical position on a grid along the image's own
 * axes, after a Gaussian where the grid is coarser, then normalised. ADC, the high-b image and masks that are given too come
 * onto the same grid, each from its own.
 *
 * @example
 * import { prepareVolume, writePhantomCohort } from "transfer-limits";
 *
 * await writePhantomCohort("phantoms", { cases: 1, seed: 1 });
 * const volume = await prepareVolume("phantoms/phantom-001/t2w.nii.gz", { voxels: [64, 64, 32] });
 * console.log(volume.t2w.shape, volume.spacing); // [32, 64, 64], and mm along depth, height and width
 * volume[Symbol.dispose]();
 *
 * @param image an image file that `readImage` reads, or the files of a case
 * @returns the case on the grid; the caller disposes it, and with it its tensors
 * @throws `BAD_IMAGE`, naming the file and why a study would leave the case out: it cannot be read, shows nothing in the crop,
 *   is a mask that does not lie on the image or whose values are no labels. `BAD_INPUT` naming a wrong option, `ABORTED`
 */
export async function prepareVolume(
  image: string | CaseFiles,
  options: PrepareVolumeOptions = {},
): Promise<PreparedVolume> {
  requireOptions(options);
  const { signal } = options;
  requireSignal(signal);
  const settings = preparationOf(options, ["signal"]);
  if (typeof image !== "object") requirePath(image, "image");
  const paths = typeof image === "string" ? { t2w: image } : checked(caseFilesSchema, image, "image");
  const { tensors, spacing, voxelToPatient, emptyMasks } = await prepareFiles(
    paths as unknown as CasePaths,
    settings,
    signal,
  );
  return {
    ...(tensors as Pick<PreparedVolume, keyof CaseFiles>),
    spacing,
    voxelToPatient,
    emptyMasks,
    [Symbol.dispose]() {
      for (const tensor of Object.values(tensors)) tensor.dispose();
    },
  };
}

/** The files of a case on the grid that a preparation says; nothing is kept on the disk. @throws `Refusal`, `ABORTED` */
export async function prepareFiles(
  paths: CasePaths,
  preparation: ColumnPreparation,
  signal: AbortSignal | undefined,
): Promise<CaseOnGrid> {
  const opening = openingOf(preparation.images);
  try {
    const images = await readAllOf(
      paths,
      preparation.columns ?? prostateColumns,
      (path) => readOfCase(path, opening),
      signal,
    );
    return await caseOnGrid(images, resolveOptions(preparation), signal);
  } catch (error) {
    throw codedError(error);
  }
}
