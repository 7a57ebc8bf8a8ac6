/** How far encoders moved, as `results.json` says it. */
import { z } from "zod";
import { comparators } from "../common/vocabulary.js";
import { number, numberOrNull, text, variant, whole } from "./fields.js";

/** To random weights, to the pretrained encoder, to the one trained from scratch. */
export const distanceNames = ["D2R", "D2P", "D2S"] as const;
/** To random weights, to the pretrained encoder, to the one trained from scratch. @useDeclaredType */
export type DistanceName = (typeof distanceNames)[number];

/** Every flag there is. */
export const distanceFlags = [
  "sigma-too-small",
  "sigma-too-large",
  "ceiling",
  "collapsed-a",
  "collapsed-b",
  "identical",
] as const;

/**
 * What makes a squared MMD say something else than how far two sets of features lie apart, by the kernel's values:
 *
 * - `sigma-too-small`: rows of one set are out of each other's reach, in both sets: MMD² is 1/N + 1/M whatever the
 *   features are.
 * - `sigma-too-large`: every row looks like every other: MMD² is near 0 whatever the features are.
 * - `ceiling`: the sets are out of each other's reach while rows of one are not: MMD² cannot grow, however far the sets
 *   move apart.
 * - `collapsed-a`, `collapsed-b`: all rows of the one set look the same to the kernel, or are: MMD² tells the spread of the
 *   other set, or the distance between two points.
 * - `identical`: the sets are the same but for rounding, and the distance is 0. Nothing is wrong with that number.
 *
 * @useDeclaredType
 */
export type DistanceFlag = (typeof distanceFlags)[number];

const flags = z.array(z.enum(distanceFlags)).default([]);

const kernelMeansSchema = z.object({
  /** Null where the set has one row. */
  withinA: numberOrNull,
  /** Null where the set has one row. */
  withinB: numberOrNull,
  between: number,
});

/** Mean kernel values over pairs of different rows. */
export interface KernelMeans extends z.infer<typeof kernelMeansSchema> {}
const kernelMeans: z.ZodType<KernelMeans> = kernelMeansSchema;

const kernelDistanceSchema = z.object({
  /** Of the kernel exp(-|u - v|² / sigma²). */
  sigma: number,
  /** The V-statistic. */
  biased: number,
  /** The U-statistic, in a study over pairs of different cases alone. Null for fewer than two rows. */
  unbiased: numberOrNull,
  /** Mean kernel value over pairs of different rows, within and between the sets: near 0 or 1, MMD says nothing. */
  offDiagonalMean: number,
  /** The same within the first set (in a study that of the fine-tuned model), within the second, and between them. */
  kernelMeans: kernelMeans,
  /** Why MMD² is no distance here, or that both sets are the same; empty where nothing stands against it. */
  flags,
  /** Where it is no distance: there are flags, and not `identical` alone. */
  saturated: z.boolean(),
});

/** MMD² at one bandwidth. */
export interface KernelDistance extends z.infer<typeof kernelDistanceSchema> {}
const kernelDistance: z.ZodType<KernelDistance> = kernelDistanceSchema;

const undefinedKernelSchema = z.object({
  sigma: z.null(),
  biased: z.null(),
  unbiased: z.null(),
  offDiagonalMean: z.null(),
  kernelMeans: z.null().default(null),
  flags,
  saturated: z.literal(false),
});

/** In the place of a distance that is undefined. */
export interface UndefinedKernelDistance extends z.infer<typeof undefinedKernelSchema> {}
const undefinedKernel: z.ZodType<UndefinedKernelDistance> = undefinedKernelSchema;

const kernel = z.union([undefinedKernel, kernelDistance]);

const featureComparisonSchema = z.object({
  /**
   * Debiased linear CKA (Kornblith et al. 2019, with the unbiased HSIC of Song et al. 2012): 1 where the features are the
   * same but for rotation, scale and offset, about 0 where they have nothing in common, and below 0 by chance. It does not
   * grow with the number of features, as the biased form does. Null below four cases, and where a network tells no case
   * from another.
   */
  linearCka: numberOrNull,
  /**
   * Squared orthogonal Procrustes distance (Ding et al. 2021) of the features, each network's centred and at unit Frobenius
   * norm: from 0, the same but for rotation, scale and offset, to 2. Null where a network gives all cases the same features.
   */
  procrustes: numberOrNull,
  /**
   * How far the mean moved, in standard deviations of the cases: |mean(a) - mean(b)| / √((trace of a's covariance + that of
   * b's) / 2). Null where both networks give all cases the same features, and for one case.
   */
  meanShift: numberOrNull,
});

/** How two networks' features of the same cases differ, by measures that have no bandwidth. */
export interface FeatureComparison extends z.infer<typeof featureComparisonSchema> {}
const featureComparison: z.ZodType<FeatureComparison> = featureComparisonSchema;

const depthDistanceSchema = z.object({
  /** Such as `stage 2`, or `block 6` of a vision transformer. */
  depth: text,
  /** Of a case there: its mean over all positions. */
  features: whole,
  /** MMD² at the median distance between the reference encoder's cases there; null where it tells none apart. */
  kernel: kernelDistance.nullable(),
  withoutKernel: featureComparison,
});

/** How far two encoders lie apart at one depth. */
export interface DepthDistance extends z.infer<typeof depthDistanceSchema> {}
const depthDistance: z.ZodType<DepthDistance> = depthDistanceSchema;

const distanceSchema = z.object({
  ...variant,
  seed: whole,
  name: z.enum(distanceNames),
  /** How many test cases. */
  rows: whole,
  /** Of each. */
  features: whole,
  /** As in the paper: sigma from the study, biased. */
  paper: kernel,
  /**
   * What each test case adds to the paper's, in the order of the cell's cases: their mean is `paper.biased`. Absent for fewer
   * than three cases or more than 1,000.
   */
  shares: z.array(number).exactOptional(),
  /**
   * At the median distance between the features that one encoder has for different test cases: one bandwidth for every
   * distance of a task and model, so that they can be compared.
   */
  medianHeuristic: kernel,
  /** Whose features gave that bandwidth: the pretrained encoder's where there is one. Absent where the study's sigma did. */
  bandwidthFrom: z.enum(comparators).exactOptional(),
  /** Sum over the bandwidths {1/4, 1/2, 1, 2, 4} x the median distance; `flags` are those of every bandwidth. */
  multiBandwidth: z.object({ biased: numberOrNull, unbiased: numberOrNull, flags }),
  /** By what needs no bandwidth; absent where the distance is undefined. */
  withoutKernel: featureComparison.exactOptional(),
  /** At each depth of the encoder, from the input on; absent where the distance is undefined. */
  depths: z.array(depthDistance).exactOptional(),
  /** A plain sentence where the number means nothing; null where it does. */
  warning: text.nullable(),
  /** Why the distance is undefined, its numbers null; only there. */
  reason: text.exactOptional(),
});

/** How far a fine-tuned encoder moved, over the test set's embeddings. */
export interface Distance extends z.infer<typeof distanceSchema> {}
export const distance: z.ZodType<Distance> = distanceSchema;

const rangeSchema = z.object({ low: number, mean: number, high: number });

/** From the lowest to the highest of several. */
export interface Range extends z.infer<typeof rangeSchema> {}
const range: z.ZodType<Range | null> = rangeSchema.nullable();

/** `not-known`: from one seed, and where no measure is a distance. @useDeclaredType */
export type DriftVerdict = (typeof driftVerdicts)[number];
const driftVerdicts = ["within", "beyond", "not-known"] as const;

const driftSchema = z.object({
  ...variant,
  /** Whose fine-tuned encoders were compared. */
  seeds: z.array(whole),
  /** Pairs of seeds. */
  pairs: whole,
  /** MMD² as in the paper, biased; null without pairs, and where one of them is undefined, as all ranges here. */
  paper: range,
  /** Whether that is no distance for one of the pairs. */
  saturated: z.boolean(),
  /** MMD² at the bandwidth that this model's distances on the task have, biased. */
  medianHeuristic: range,
  linearCka: range,
  procrustes: range,
  meanShift: range,
  /** At each depth of the encoder, from the input on. */
  depths: z.array(z.object({ depth: text, linearCka: range, procrustes: range, meanShift: range })),
  /** What D2P is, judged against that. */
  d2p: z.object({
    verdict: z.enum(driftVerdicts),
    /** By which measure; null where it is not known. */
    measure: z.enum(["paper", "medianHeuristic", "procrustes"]).nullable(),
    /** The mean over seeds. */
    value: numberOrNull,
    /** At most so often would a verdict of `beyond` come about if the pretrained encoder were one more training. */
    chance: numberOrNull,
    /** The verdict as a sentence. */
    reason: text,
  }),
});

/** How far the fine-tuned encoders of two seeds lie apart, and whether D2P is more than that. */
export interface DriftBetweenSeeds extends z.infer<typeof driftSchema> {}
export const driftBetweenSeeds: z.ZodType<DriftBetweenSeeds> = driftSchema;

const meanDistanceSchema = z.object({
  ...variant,
  name: z.enum(distanceNames),
  /** Those in which it is defined. */
  seeds: z.array(whole),
  /** Of the paper's, biased: from which to which. */
  lowest: number,
  highest: number,
  /** Whether the paper's is no distance in any seed. */
  saturated: z.boolean(),
  /** As in the paper; null where no seed has it, as everywhere here. */
  paper: z.object({ biased: number, unbiased: numberOrNull, offDiagonalMean: numberOrNull }),
  /** At the features' own scale. */
  medianHeuristic: z.object({ sigma: numberOrNull, biased: numberOrNull }),
  withoutKernel: featureComparisonSchema,
  /** At each depth of the encoder, from the input on; none where the cells did not keep what is there. */
  depths: z.array(z.object({ depth: text, ...featureComparisonSchema.shape })),
});

/** A distance over the seeds of a task and model: the mean of each of its numbers over the seeds that have it. */
export interface MeanDistance extends z.infer<typeof meanDistanceSchema> {}
export const meanDistance: z.ZodType<MeanDistance> = meanDistanceSchema;
