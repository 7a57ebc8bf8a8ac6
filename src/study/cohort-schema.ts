import { z } from "zod";
import { section } from "../common/validation.js";

const extent = z.int().min(8).max(4096);

/** Height x width x depth in voxels. */
export const voxelsSchema = z.tuple([extent, extent, extent]);

const millimetres = z.number().positive().max(10_000);

/** The box of the patient that is kept: around what, and how large (height, width, depth in mm). */
export const cropSchema = section({
  around: z.enum(["gland", "centre"]).default("gland"),
  fieldOfView: z
    .union([z.literal("whole"), z.tuple([millimetres, millimetres, millimetres])])
    .default("whole"),
});

/** How masks are brought onto the grid: each label linearly and the largest wins, or by the nearest voxel. */
export const masksSchema = z.enum(["label-linear", "nearest"]);

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

/** Patients in each set, with all their cases: whole numbers are counts, numbers below 1 fractions of all patients. */
export const splitSchema = section({
  train: z.number().min(0).default(0.75),
  validation: z.number().min(0).default(0.05),
  test: z.number().min(0).default(0.2),
});
