/** What fewer training patients come to, as `results.json` says it. */
import { z } from "zod";
import { number, numberOrNull, text, variant, whole } from "./fields.js";

export const curveComparators = ["fine-tuned", "from-scratch", "trivial"] as const;

const curvePointSchema = z.object({
  comparator: z.enum(curveComparators),
  /** Trained on, as a mean over seeds where these differ. */
  patients: number,
  seeds: z.array(whole),
  /** The task's metric over the test set, and its 95 % interval; null where it is not known. */
  mean: number,
  low: numberOrNull,
  high: numberOrNull,
  /** Device seconds of one seed, on average. */
  seconds: number,
});

/** What training on so many patients gave. */
export interface CurvePoint extends z.infer<typeof curvePointSchema> {}

const worthSchema = z.object({
  /**
   * From scratch it takes so many patients more to do as well, negative where fine-tuning needs more. Null where it lies
   * beyond what was measured.
   */
  patients: numberOrNull,
  /** The 95 % interval; an end is null where it is not reached within what was measured. Null: there is none. */
  interval: z.object({ low: numberOrNull, high: numberOrNull }).nullable(),
  /** Which of both is better where all are trained on. */
  better: z.enum(["fine-tuned", "from-scratch", "neither"]),
  /** The most that could be seen: all patients less those of the smallest level. */
  most: number,
  /** Device hours of one training that the better start saves on the way to the same result; negative: it takes longer. */
  hours: z.object({ saved: numberOrNull, low: numberOrNull, high: numberOrNull }),
  /** Device hours that pretraining took; null where the study did not do it. */
  pretrainingHours: numberOrNull,
  /** All of it in words. */
  words: text,
});

/** How many patients, and hours, pretraining is worth on a task. */
export interface PretrainingWorth extends z.infer<typeof worthSchema> {}
const pretrainingWorth: z.ZodType<PretrainingWorth> = worthSchema;

const learningCurveSchema = z.object({
  ...variant,
  metric: text,
  /** By comparator, from few patients to all. */
  points: z.array(curvePointSchema),
  /** Null where fewer than two numbers of patients were trained on by both. */
  worth: pretrainingWorth.nullable(),
});

/** A task's metric by how many patients are trained on, under a foundation model. */
export interface LearningCurve extends z.infer<typeof learningCurveSchema> {}
export const learningCurve: z.ZodType<LearningCurve> = learningCurveSchema;
