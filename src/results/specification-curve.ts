/** Whether distances say something about gains, as `results.json` says it. */
import { z } from "zod";
import { number, text, whole } from "./fields.js";

const joint = z.object({ value: number, p: number }).nullable();

const curveSummarySchema = z.object({
  /** Over how many the gains were put in other orders. */
  tasks: whole,
  /** Ways of relating distances to gains of which r is defined; every one stands in `specifications.csv`. */
  specifications: whole,
  /** Those of which it is not. */
  undefined: whole,
  /** The median r, and the chance of as much where there is no relation; null where no specification is defined. */
  median: joint,
  /** How many are significant with the sign that most of the significant ones have. */
  significant: joint,
  /** The mean of Fisher's z times the square root of n - 3. */
  averageZ: joint,
  method: z.enum(["exact permutation", "permutation"]),
  /** Orders of the gains that were looked at. */
  orders: whole,
  /** No p can be lower. */
  leastP: number,
  unit: z.literal("task"),
  verdict: z.enum(["supported", "undetermined"]),
  /** Why, in words. */
  reason: text,
  /** r in ascending order: at most 201 of all, at equal distances. */
  quantiles: z.array(number),
  /** Of all specifications with one choice: the median r, and between which values nine in ten of them lie. */
  choices: z.array(
    z.object({ choice: text, value: text, specifications: whole, median: number, low: number, high: number }),
  ),
});

/** The relation of distances and gains, over every reasonable way of asking. */
export interface CurveSummary extends z.infer<typeof curveSummarySchema> {}
export const curveSummary: z.ZodType<CurveSummary> = curveSummarySchema;
