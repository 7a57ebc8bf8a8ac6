/** How often each verdict was given, and what a study holds and lacks, as `results.json` says it. */
import { z } from "zod";
import { gainReferences, verdicts } from "./claims.js";
import { distanceNames } from "./distances.js";
import { text, variant, whole } from "./fields.js";

const tasks = z.array(z.object({ task: variant.task, strategy: variant.strategy }));

const tallySchema = z.object({
  reference: z.enum(gainReferences),
  /** Whether this is of tasks that count already, learnt a second time by another strategy. */
  again: z.boolean(),
  /** Tasks with a claim over the reference, without those that over training from scratch neither has learnt. */
  compared: whole,
  /** On so many of them the fine-tuned model's mean is the better one, which for most metrics is the higher one. */
  higher: whole,
  /** Whether none of their claims has more than one seed, so that nothing is decided. */
  oneSeed: z.boolean(),
  /** Of those that verdicts are counted over: over training from scratch all, else those of more than one seed. */
  judged: whole,
  /** On how many tasks each verdict was given, and on which; `supported` even on none. */
  verdicts: z.array(z.object({ verdict: z.enum(verdicts), tasks: whole, which: tasks })),
  /** Over training from scratch: tasks that neither has learnt. */
  notLearnt: tasks,
  /** Tasks of the model without a claim over the reference. */
  notCompared: tasks,
  /** Over what takes no network: the model is behind, or ahead by no more than does not matter. */
  notBeaten: tasks,
});

/** What became of a foundation model's claims over a reference, over tasks. */
export interface Tally extends z.infer<typeof tallySchema> {}
const tally: z.ZodType<Tally> = tallySchema;

const answerSchema = z.object({
  model: text,
  /** Each once, by whichever strategy it counts by. */
  tasks: whole,
  /** On so many of them the model has distances. */
  withDistances: whole,
  tallies: z.array(tally),
});

/** What became of a foundation model's claims. */
export interface Answer extends z.infer<typeof answerSchema> {}
export const answer: z.ZodType<Answer> = answerSchema;

const saturations = ["collapsed", "ceiling", "floor", "constant"] as const;

/**
 * What makes a distance at the paper's kernel width none: an encoder gives all cases the same features; it can grow no
 * further; the kernel tells nothing apart; it is the same whatever the features are. @useDeclaredType
 */
export type Saturation = (typeof saturations)[number];

const countsSchema = z.object({
  /** Those on fewer patients too. */
  cells: z.object({ all: whole, done: whole, failed: whole, pending: whole }),
  excludedCases: whole,
  /** By reference, the claims with a p value: over so many it is adjusted. */
  tested: z.array(z.object({ reference: z.enum(gainReferences), claims: whole })),
  /** Means over seeds. */
  distances: z.object({
    all: whole,
    /** At the paper's kernel width. */
    saturated: whole,
    kinds: z.array(z.object({ kind: z.enum(saturations), distances: whole })),
    /** Even at the features' own scale, in any seed. */
    atCeiling: whole,
    atCeilingByName: z.array(z.object({ name: z.enum(distanceNames), distances: whole })),
  }),
  /** Gains that cannot be given in percent, though both metrics are there. */
  gainsWithoutPercent: whole,
});

/** How much of what a study holds, and how much of it says less than it seems to. */
export interface Counts extends z.infer<typeof countsSchema> {}
export const counts: z.ZodType<Counts> = countsSchema;
