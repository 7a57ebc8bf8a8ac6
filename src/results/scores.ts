/** What each comparator came to over seeds and test cases, as `results.json` says it. */
import { z } from "zod";
import { comparators } from "../common/vocabulary.js";
import { networkSchema } from "./cell.js";
import { number, numberOrNull, text, variant, whole } from "./fields.js";

const scoreSchema = z.object({
  ...variant,
  comparator: z.enum(comparators),
  /** Of its first seed. */
  network: networkSchema,
  metric: text,
  /** Where lower values of it are the better ones; absent where higher ones are. */
  lowerIsBetter: z.literal(true).exactOptional(),
  /** A best result that does not reach it says that nobody has learnt the task; absent where no value says so. */
  floor: number.exactOptional(),
  /** Those that are done. */
  seeds: z.array(whole),
  /** Mean over seeds of the mean over cases; null where the test set leaves the metric undefined. */
  mean: numberOrNull,
  /** Why it does, said of the test set; null where it does not. */
  reason: text.nullable(),
  /** Standard deviation over cases, each averaged over the seeds first; null for fewer than two cases. */
  caseDeviation: numberOrNull,
  /** Standard deviation over the seeds' means; null for one seed. */
  seedDeviation: numberOrNull,
  /** Over the same cases; null where none has a value of its own. */
  median: numberOrNull,
  lowest: numberOrNull,
  highest: numberOrNull,
  /** Cases that the metric rests on: those that have a value, or the whole set where it is one of the set. */
  testCases: whole,
  /** Each case's value, averaged over seeds; none where the metric is one of the whole set. */
  cases: z.array(z.object({ case: text, value: number })),
  /** Each secondary metric's mean over the seeds that have it; null where none has. */
  secondary: z.record(text, numberOrNull),
  /** `confusion[true class][answered class]`: cases, summed over seeds; null where no classes are told apart. */
  confusion: z.array(z.array(whole)).nullable(),
  /** The names of these classes; absent where the results do not say. */
  classes: z.array(text).exactOptional(),
  /**
   * Of each seed that was validated: its best validation metric, and the first epoch that lies within 1 % of it, when
   * training was as good as done.
   */
  converged: z.array(
    z.object({ seed: whole, best: number, epoch: whole, cost: z.object({ seconds: numberOrNull }) }),
  ),
  /** The mean of those epochs. */
  convergedEpoch: numberOrNull,
  /** The mean over seeds, of memory the most. */
  cost: z.object({
    wallSeconds: number,
    deviceSeconds: number,
    peakMemoryBytes: number,
    epochsPerSecond: numberOrNull,
    /** Until the epochs above; null where the times of epochs are not known. */
    convergedSeconds: numberOrNull,
    /** Device time of the fine-tuned model as a multiple of that from scratch: Table 1 of the paper. Null for others. */
    overFromScratch: numberOrNull,
  }),
});

/** What a comparator came to on a task: one a foundation model, or one that all of them share. */
export interface Score extends z.infer<typeof scoreSchema> {}
export const score: z.ZodType<Score> = scoreSchema;
