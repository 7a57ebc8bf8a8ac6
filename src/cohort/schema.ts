import { z } from "zod";
import { describe } from "../common/errors.js";
import { nearest, section } from "../common/validation.js";
import type { CohortColumns } from "./columns.js";
import { defaultImageLimits, largestExpansion } from "./formats/limits.js";
import type { OpenImageOptions } from "./image.js";
import { defaultManifestLimits } from "./manifest.js";
import { normalisation } from "./normalisation.js";
import { columnsFaults, columnsOf, columnsSchema, completeColumns } from "./own-columns.js";
import { prostateColumns } from "./presets/prostate.js";

const extent = z.int().min(8).max(4096);

/** Height x width x depth in voxels. */
export const voxelsSchema = z.tuple([extent, extent, extent]);

const fieldOfView = z
  .union([z.literal("whole"), z.tuple([z.number(), z.number(), z.number()])])
  .default("whole");

/** The box of the patient that is kept: around what (a mask, or the centre), and how large (height, width, depth in mm). */
export const cropSchema = section({ around: z.string().optional(), fieldOfView });

type Crop = z.output<typeof cropSchema>;

const placesOf = ({ masks }: Pick<CohortColumns, "masks">): string[] => [...Object.keys(masks), "centre"];

/** The box of images of a prostate that belong to no study. */
const prostateCropSchema = section({
  around: z.enum(placesOf(prostateColumns)).default(prostateColumns.around),
  fieldOfView,
}).superRefine((crop, context) => addFaults(context, [], cropFaults(crop, prostateColumns)));

/** What a crop asks for that the cohort's columns do not have, or that was meant in another unit. */
function cropFaults(crop: Crop, columns: CohortColumns): { path: PropertyKey[]; message: string }[] {
  const { least, most, usual } = columns.fieldOfView;
  const places = placesOf(columns);
  const faults: { path: PropertyKey[]; message: string }[] = [];
  if (crop.around !== undefined && !places.includes(crop.around)) {
    const near = nearest(crop.around, places);
    const hint = near === null ? "" : `. Did you mean ${describe(near)}?`;
    const known = places.map((place) => describe(place)).join(", ");
    const message = `expected one of ${known} but received ${describe(crop.around)}${hint}`;
    faults.push({ path: ["around"], message });
  }
  if (crop.fieldOfView === "whole") return faults;
  for (const [axis, edge] of crop.fieldOfView.entries()) {
    if (edge >= least && edge <= most) continue;
    const meant = edge < least && 10 * edge >= least ? `; ${edge} cm are ${10 * edge} mm` : "";
    const often = usual === undefined ? "" : `, ${usual},`;
    faults.push({
      path: ["fieldOfView", axis],
      message: `expected ${least} to ${most} mm${often} but received ${edge}${meant}`,
    });
  }
  return faults;
}

/** Adds what is wrong with a part of a section, where the section itself is sound. */
function addFaults(
  context: z.core.$RefinementCtx,
  at: PropertyKey[],
  faults: readonly { path: PropertyKey[]; message: string }[],
): void {
  for (const { path, message } of faults)
    context.issues.push({ code: "custom", input: undefined, path: [...at, ...path], message });
}

/** How masks are brought onto the grid: each label linearly and the largest wins, or by the nearest voxel. */
export const masksSchema = z.enum(["label-linear", "nearest"]);

/** How image files are opened. */
export const imagesSchema = section({
  /** The folder in which the data file that a header names may lie; null: the image's own folder. */
  root: z.string().min(1).nullable().default(null),
  /** The most voxels of a volume. */
  voxels: z
    .int()
    .min(1)
    .max(2 ** 30)
    .default(defaultImageLimits.voxels),
  /** How many times as large as its file an image may be when decompressed; up to 256 MiB it always may. */
  expansion: z.int().min(1).max(largestExpansion).default(defaultImageLimits.expansion),
});

/** What a manifest may ask for: far more than cohorts have, so that what is something else is refused at once. */
export const manifestLimitsSchema = section({
  bytes: z
    .int()
    .min(1)
    .max(2 ** 29)
    .default(defaultManifestLimits.bytes),
  cases: z.int().min(1).max(10_000_000).default(defaultManifestLimits.cases),
  columns: z.int().min(2).max(1_000_000).default(defaultManifestLimits.columns),
});

/** How the values of each image of a prostate are brought to a common scale, volume by volume. */
export const normaliseSchema = section({
  t2w: normalisation.prefault({ kind: "percentiles" }),
  adc: normalisation.prefault({ kind: "percentiles" }),
  hbv: normalisation.prefault({ kind: "percentiles" }),
});

/** How every image of a cohort is read and brought onto one grid; defaults are the paper's. */
const gridFields = {
  /** Height x width x depth, as the paper writes it. */
  voxels: voxelsSchema.default([200, 200, 96]),
  masks: masksSchema.default("label-linear"),
  images: imagesSchema.prefault({}),
};

/** The same for images of a prostate that belong to no study. */
export const preparationFields = {
  ...gridFields,
  crop: prostateCropSchema.prefault({}),
  normalise: normaliseSchema.prefault({}),
};
export const preparationSchema = section(preparationFields);
export type Preparation = z.infer<typeof preparationSchema>;

/** The cohort of a study: its columns, and how its images are brought onto one grid. */
export const cohortSchema = section({
  /** The cohort's CSV. */
  manifest: z.string().min(1),
  columns: columnsSchema,
  ...gridFields,
  crop: cropSchema.prefault({}),
  /** Of a prostate's images; columns of the study's own say it with each image. */
  normalise: normaliseSchema.optional(),
  /** Of every manifest that the study names. */
  manifestLimits: manifestLimitsSchema.prefault({}),
}).superRefine(({ columns, crop, normalise }, context) => {
  const wrong = columnsFaults(columns);
  addFaults(context, ["columns"], wrong);
  if (wrong.length === 0) addFaults(context, ["crop"], cropFaults(crop, columnsOf({ columns })));
  if (columns !== "prostate" && normalise !== undefined)
    addFaults(
      context,
      ["normalise"],
      [
        {
          path: [],
          message:
            "expected nothing beside columns of the study's own: write it as cohort.columns.images.<name>.normalise",
        },
      ],
    );
});
export type CohortConfig = z.output<typeof cohortSchema>;

/** A cohort with what follows from its columns filled in. */
export const completeCohort = (cohort: CohortConfig): CohortConfig => ({
  ...cohort,
  columns: completeColumns(cohort.columns),
  crop: { ...cohort.crop, around: cohort.crop.around ?? columnsOf(cohort).around },
  ...(cohort.columns === "prostate" ? { normalise: normaliseSchema.parse(cohort.normalise ?? {}) } : {}),
});

/** How image files are opened, as `readImage` takes it. */
export const openingOf = ({ root, ...limits }: Preparation["images"]): OpenImageOptions => ({
  ...(root === null ? {} : { root }),
  limits,
});

/** Patients in each set, with all their cases: whole numbers are counts, numbers below 1 fractions of all patients. */
export const splitSchema = section({
  train: z.number().min(0).default(0.75),
  validation: z.number().min(0).default(0.05),
  test: z.number().min(0).default(0.2),
});
