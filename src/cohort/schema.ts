import { z } from "zod";
import { section } from "../common/validation.js";
import { defaultImageLimits, largestExpansion } from "./formats/limits.js";
import type { OpenImageOptions } from "./image.js";
import { defaultManifestLimits } from "./manifest.js";

const extent = z.int().min(8).max(4096);

/** Height x width x depth in voxels. */
export const voxelsSchema = z.tuple([extent, extent, extent]);

/** A prostate is some 50 mm wide, and no scanner sees half a metre beyond a patient. */
const [leastField, mostField] = [20, 1000];

/** One edge of a field of view; what is far too small or large was meant in another unit. */
const fieldEdge = z.number().refine((edge) => edge >= leastField && edge <= mostField, {
  error: ({ input }) => {
    const edge = Number(input);
    const meant = edge < leastField && 10 * edge >= leastField ? `; ${edge} cm are ${10 * edge} mm` : "";
    return (
      `expected ${leastField} to ${mostField} mm, where a prostate with its surroundings takes 60 to 100, but received ` +
      `${edge}${meant}`
    );
  },
});

/** The box of the patient that is kept: around what, and how large (height, width, depth in mm). */
export const cropSchema = section({
  around: z.enum(["gland", "centre"]).default("gland"),
  fieldOfView: z.union([z.literal("whole"), z.tuple([fieldEdge, fieldEdge, fieldEdge])]).default("whole"),
});

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

const ordered = { error: "expected low < high" };
const rises = ({ low, high }: { low: number; high: number }) => low < high;
const percentile = z.number().min(0).max(100);

const normalisation = z.discriminatedUnion("kind", [
  section({
    kind: z.literal("percentiles"),
    low: percentile.default(0.5),
    high: percentile.default(99.5),
  }).refine(rises, ordered),
  section({ kind: z.literal("range"), low: z.number(), high: z.number() }).refine(rises, ordered),
  section({ kind: z.literal("z-score") }),
]);

/** How the values of each kind of image are brought to a common scale, volume by volume. */
export const normaliseSchema = section({
  t2w: normalisation.prefault({ kind: "percentiles" }),
  adc: normalisation.prefault({ kind: "percentiles" }),
  hbv: normalisation.prefault({ kind: "percentiles" }),
});

/** How every image of a cohort is read and brought onto one grid; defaults are the paper's. */
export const preparationFields = {
  /** Height x width x depth, as the paper writes it. */
  voxels: voxelsSchema.default([200, 200, 96]),
  crop: cropSchema.prefault({}),
  normalise: normaliseSchema.prefault({}),
  masks: masksSchema.default("label-linear"),
  images: imagesSchema.prefault({}),
};

/** The same by itself, for images that belong to no study. */
export const preparationSchema = section(preparationFields);
export type Preparation = z.infer<typeof preparationSchema>;

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
