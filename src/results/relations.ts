/** Whether gains go with distances, as `results.json` says it. */
import { z } from "zod";
import { gainReferences } from "./claims.js";
import { distanceNames } from "./distances.js";
import { number, numberOrNull, text, variant, whole } from "./fields.js";

const relationPointSchema = z.object({
  task: variant.task,
  strategy: variant.strategy,
  /** Whether r and p are computed over it: each task counts once, by its own strategy where the study has that. */
  counts: z.boolean(),
  /** The paper's distance, averaged over seeds. */
  distance: number,
  /** The relative performance gain, of the claim. */
  percent: number,
  /** Whether the distance of any seed is none: at its floor or ceiling, or of collapsed features. */
  saturated: z.boolean(),
});

/** A task in a relation. */
export interface RelationPoint extends z.infer<typeof relationPointSchema> {}
const relationPoint: z.ZodType<RelationPoint> = relationPointSchema;

const resampledRelationSchema = z.object({
  /** 95 %: the middle of r over the draws, and what Fisher's z leaves open beside it, noise having brought r towards 0. */
  low: number,
  high: number,
  /** How often they were drawn; those that leave r undefined are not among them. */
  resamples: whole,
  /** How many seeds and patients there are to draw from. With one seed, its noise is not in the interval. */
  seeds: whole,
  patients: whole,
});

/**
 * How far r moves when patients and seeds are drawn anew, the same ones for the gains and distances of all tasks; the tasks
 * stay. Distances that do not say what each case adds to them (`shares`) move with the seeds alone.
 */
export interface ResampledRelation extends z.infer<typeof resampledRelationSchema> {}
const resampledRelation: z.ZodType<ResampledRelation> = resampledRelationSchema;

const relationSchema = z.object({
  model: variant.model,
  /** What the gains are over. */
  reference: z.enum(gainReferences),
  distance: z.enum(distanceNames),
  points: z.array(relationPoint),
  /** Tasks that r and p are computed over: the unit of both. */
  n: whole,
  /** Pearson's; null for fewer than three tasks, or where gains or distances do not vary. */
  r: numberOrNull,
  /** 95 %, as though tasks were drawn from many (Fisher's z); null for fewer than four. */
  interval: z.object({ low: number, high: number }).nullable(),
  /** By permutation of this relation's tasks alone. */
  p: numberOrNull,
  /** The chance of an |r| as large in any relation of the study over this reference where none of them has one. */
  jointP: numberOrNull,
  method: z.enum(["exact permutation", "permutation"]),
  /** The lowest and the highest r with one task left out; null for fewer than four. */
  leaveOneOut: z.object({ low: number, high: number }).nullable(),
  /** Absent while cells are to come; null where r is. */
  resampled: resampledRelation.nullable().exactOptional(),
  /** r over all points, those too that count for nothing; null where there are none. */
  overAllPoints: numberOrNull,
  /** The |r| that so few tasks must exceed for p < 0.05, by Student's t; null for fewer than three. */
  critical: numberOrNull,
  /** The true |r| that so few tasks find with a power of 80 %; null likewise. */
  detectable: numberOrNull,
  /** `undetermined` with fewer than eight tasks, or where chance gives as much among all relations. */
  verdict: z.enum(["supported", "undetermined"]),
  /** Why, in words. */
  reason: text,
});

/** Whether a foundation model's gains over a reference go with how far its encoder moved, over tasks. */
export interface Relation extends z.infer<typeof relationSchema> {}
export const relation: z.ZodType<Relation> = relationSchema;
