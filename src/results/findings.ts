/** What makes numbers of a study say less than they seem to, as `results.json` says it. */
import { z } from "zod";
import { comparators } from "../common/vocabulary.js";
import { distanceNames } from "./distances.js";
import { number, numberOrNull, text, variant } from "./fields.js";

const nothingLearntSchema = z.object({
  kind: z.literal("nothing-learnt"),
  task: variant.task,
  strategy: variant.strategy,
  metric: text,
  /** Where lower values of it are the better ones; absent where higher ones are. */
  lowerIsBetter: z.literal(true).exactOptional(),
  /** A best result that does not reach it says that nobody has learnt the task; absent where no value says so. */
  floor: number.exactOptional(),
  /** The best mean over seeds of a network that was trained on the task. */
  best: number,
  /** Whose it is. */
  comparator: z.enum(comparators),
  model: text,
  /** The mean of what takes no network, where that was tested. */
  trivial: numberOrNull,
  /** The name of that; null where it was not tested. */
  answer: text.nullable(),
});

/** A task that no network of the study has learnt: none is above 0.05, or none above what takes no network. */
export interface NothingLearnt extends z.infer<typeof nothingLearntSchema> {}

const collapsedFeaturesSchema = z.object({
  kind: z.literal("collapsed-features"),
  ...variant,
  comparator: z.enum(comparators),
});

/** An encoder that gives all test cases the same features: no distance to or from it says anything. */
export interface CollapsedFeatures extends z.infer<typeof collapsedFeaturesSchema> {}

const distanceAtCeilingSchema = z.object({
  kind: z.literal("distance-at-ceiling"),
  ...variant,
  distance: z.enum(distanceNames),
});

/** A distance that cannot grow any more at the features' own scale: the two encoders are out of each other's reach. */
export interface DistanceAtCeiling extends z.infer<typeof distanceAtCeilingSchema> {}

const pretrainingNotFallenSchema = z.object({
  kind: z.literal("pretraining-not-fallen"),
  model: text,
  /** Mean training loss over the first fifth of the epochs; null where it was not finite. */
  first: numberOrNull,
  /** The same over the last fifth. */
  last: numberOrNull,
});

/** A pretraining of the study whose loss ended no lower than it began, or was not finite. */
export interface PretrainingNotFallen extends z.infer<typeof pretrainingNotFallenSchema> {}

/** What makes numbers of a study say less than they seem to, found in the numbers themselves. */
export type Finding = NothingLearnt | CollapsedFeatures | DistanceAtCeiling | PretrainingNotFallen;

export const finding: z.ZodType<Finding> = z.discriminatedUnion("kind", [
  nothingLearntSchema,
  collapsedFeaturesSchema,
  distanceAtCeilingSchema,
  pretrainingNotFallenSchema,
]);
