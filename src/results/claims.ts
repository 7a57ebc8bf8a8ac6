/** What fine-tuned models gain over their references, and what may be said of it, as `results.json` says it. */
import { z } from "zod";
import { number, numberOrNull, text, variant, whole } from "./fields.js";

/** What a gain is over, in the order in which claims and reports list them. */
export const gainReferences = [
  "from-scratch",
  "random-weights",
  "pretrained",
  "specialised",
  "trivial",
] as const;
/** What a gain is over. @useDeclaredType */
export type GainReference = (typeof gainReferences)[number];

const reference = z.enum(gainReferences);

const gainSchema = z.object({
  task: variant.task,
  /** Of the fine-tuned model, and of the reference unless that is shared by all strategies: `specialised`, `trivial`. */
  strategy: variant.strategy,
  model: variant.model,
  seed: whole,
  reference,
  /** The fine-tuned model's metric. Null where the test set leaves the metric undefined. */
  fineTuned: numberOrNull,
  /** The reference's metric; null as before. */
  referenceValue: numberOrNull,
  /** Null where the gain is undefined: where a metric is, and where the reference is 0 or less. */
  percent: numberOrNull,
  /** Why it is null; only there. */
  reason: text.exactOptional(),
});

/** Relative performance gain of the fine-tuned model over a reference, in percent (equation 2 of the paper). */
export interface Gain extends z.infer<typeof gainSchema> {}
export const gain: z.ZodType<Gain> = gainSchema;

export const verdicts = ["supported", "practically-equal", "contradicted", "undetermined"] as const;

/**
 * What became of the claim that a fine-tuned model is better than a reference:
 *
 * - `supported`: it is, by more than chance over seeds and patients explains, all claims of the study considered
 * - `contradicted`: the reference is
 * - `practically-equal`: they differ by less than the margin
 * - `undetermined`: the study cannot tell
 *
 * @useDeclaredType
 */
export type Verdict = (typeof verdicts)[number];

const wouldSettleSchema = z.object({ seeds: whole.nullable(), patients: whole.nullable() });

/** So many seeds, or so many patients, would settle a claim; null where no number does by itself. */
export interface WouldSettle extends z.infer<typeof wouldSettleSchema> {}
const wouldSettle: z.ZodType<WouldSettle> = wouldSettleSchema;

const claimSchema = z.object({
  ...variant,
  reference,
  metric: text,
  /** Where lower values of it are the better ones; absent where higher ones are. */
  lowerIsBetter: z.literal(true).exactOptional(),
  /** A best result that does not reach it says that nobody has learnt the task; absent where no value says so. */
  floor: number.exactOptional(),
  verdict: z.enum(verdicts),
  /** Why, in words. */
  reason: text,
  /** The seeds that both have results of. */
  seeds: z.array(whole),
  /** Those that both have a value of. */
  patients: whole,
  cases: whole,
  /**
   * Whether each seed divides the patients anew: `patients` are then those that any of them tests, and the interval is that of
   * the corrected resampled t test over divisions.
   */
  dividedAnew: z.boolean().exactOptional(),
  /** The mean over those: of the cases of each patient first, so that each patient weighs the same. */
  fineTuned: number,
  /** The same of the reference. */
  referenceValue: number,
  /** Fine-tuned less reference, or the other way round where lower is better: positive where the fine-tuned model is the better one. */
  difference: z.object({
    estimate: number,
    /** 95 %, crossed over seeds and patients, or over divisions; null where it is not known. */
    low: numberOrNull,
    high: numberOrNull,
    standardError: numberOrNull,
    /** Standard deviations from seed to seed, from patient to patient, and of the rest; null over divisions, too. */
    deviations: z.object({ seeds: number, patients: number, rest: number }).nullable(),
  }),
  /**
   * Relative performance gain in percent, from the ratio of the two means (equation 2 of the paper), with Fieller's 95 % set;
   * its ends are null where there is no interval of the difference. Null where the reference is 0 or less, or may be.
   */
  percent: z.object({ estimate: number, low: numberOrNull, high: numberOrNull }).nullable(),
  /** Two-sided. */
  p: numberOrNull,
  /** By Holm over all claims of the study over the same reference. */
  adjustedP: numberOrNull,
  /** Differences up to `margin` do not matter; the 90 % interval is that of two one-sided tests. */
  equivalence: z.object({ margin: number, low: numberOrNull, high: numberOrNull }),
  /**
   * On how many of the patients the fine-tuned model is the better one, its seeds averaged; null for a metric that only a
   * whole test set has.
   */
  better: whole.nullable(),
  /** The difference that these seeds and patients find with a power of 80 %; null where their spread is not known. */
  detectable: numberOrNull,
  /** What would settle an undetermined claim, beside as many others as there are; null where it is settled, or nothing is known of the spread. */
  wouldSettle: wouldSettle.nullable(),
  /** What stands against these numbers, each in a few words; empty where nothing is known to. */
  distrust: z.array(text),
  /** Device seconds that one seed of either took on average; `trivial` works on the CPU. */
  cost: z.object({ fineTunedSeconds: number, referenceSeconds: number }),
});

/** How much better a fine-tuned model is than a reference on one task, and how sure that is. */
export interface Claim extends z.infer<typeof claimSchema> {}
export const claim: z.ZodType<Claim> = claimSchema;
