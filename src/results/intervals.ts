/** Intervals of the metrics that only a whole test set has, as `results.json` says them. */
import { z } from "zod";
import { comparators } from "../common/vocabulary.js";
import { number, numberOrNull, text, variant, whole } from "./fields.js";

const metricIntervalSchema = z.object({
  ...variant,
  comparator: z.enum(comparators),
  /** Its name, as the cells have it. */
  metric: text,
  /** The mean over seeds. */
  estimate: number,
  /** 95 %, over patients and, of several seeds, over these; null where too few patients allow one. */
  low: numberOrNull,
  /** The other end. */
  high: numberOrNull,
  /** Null likewise. */
  standardError: numberOrNull,
  /** How the spread over patients was come by; that over seeds is their variance, by Student's t. */
  method: z.enum(["stratified bootstrap", "DeLong", "bootstrap"]),
  /** What was taken to be independent. */
  unit: z.literal("patient"),
  /** How many of them a seed's test set has. */
  patients: whole,
  seeds: whole,
  /** What a reader must know of it; null for nothing. */
  note: text.nullable(),
});

/** How sure a metric of a whole test set is: specificity at a sensitivity, AUC, kappa. */
export interface MetricInterval extends z.infer<typeof metricIntervalSchema> {}
export const metricInterval: z.ZodType<MetricInterval> = metricIntervalSchema;
