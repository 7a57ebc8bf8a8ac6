import { expected } from "../common/errors.js";
import { sumOf } from "../common/numbers.js";
import type { Comparator } from "../common/vocabulary.js";
import { compareMatchedRows, medianDistance } from "../native/kernels.js";
import type { Tensor } from "../native/tensor.js";
import {
  type Distance,
  type DistanceFlag,
  distanceFlags,
  type UndefinedKernelDistance,
} from "../results/distances.js";
import { variantName } from "../tasks/index.js";
import { kernelDistance } from "./depth-distances.js";
import { type MeasuredDistance, warningOf } from "./distance-warning.js";
import { sameFeatures } from "./flags.js";
import { type PairSums, pairSums, requireSigma, type SquaredMmd, squaredMmd } from "./mmd.js";

/** The scale of features, which gives the bandwidths beside the paper's. */
export interface FeatureScale {
  /** The median distance between the features of different cases. */
  distance: number;
  /** Whose features. */
  of: Comparator;
}

/** The bandwidths of the multi-bandwidth distance, as multiples of the median distance. */
export const bandwidthFactors = [0.25, 0.5, 1, 2, 4] as const;

/**
 * How far the representation of a fine-tuned encoder lies from that of a reference, on the same test cases: D2R from
 * random weights, D2P from the pretrained encoder, D2S from the one trained from scratch.
 *
 * Beside the paper's MMD² (biased, `sigma` from the study) it answers MMD² at the median distance between the features of
 * one encoder (Gretton 2012, section 8, take it over both sets together: of two sets that lie apart that is the gap itself,
 * and MMD² the same number whatever the gap) and the sum over five bandwidths around it, which do not depend on the scale
 * of the features; and what needs no bandwidth: linear CKA, the Procrustes distance, the shift of the mean.
 *
 * @param fineTuned embeddings of the test set [N, d]
 * @param reference embeddings of the same cases in the same order [N, d]
 * @param options.scale of the features; null: none could be had, and the paper's sigma stands in its place, which
 *   `warning` says. Default: the reference's
 * @throws `BAD_INPUT` for shapes that differ, values that are not finite, or a sigma that is not positive; `ABORTED`
 */
export async function measureDistance(
  of: Pick<Distance, "name" | "task" | "strategy" | "model" | "seed">,
  fineTuned: Tensor,
  reference: Tensor,
  options: { sigma: number; scale?: FeatureScale | null; signal?: AbortSignal },
): Promise<MeasuredDistance> {
  const { name, task, strategy, model, seed } = of;
  const { sigma, signal } = options;
  requireSigma(sigma);
  const [rows, features] = fineTuned.shape;
  const sameShape =
    reference.shape.length === 2 && reference.shape.every((size, i) => size === fineTuned.shape[i]);
  if (rows === undefined || features === undefined || !sameShape) {
    const what = `embeddings of the same cases, [${fineTuned.shape.join(", ")}],`;
    throw expected(
      what,
      `the reference of ${name} (${variantName(of)}, ${model}, seed ${seed})`,
      reference.shape,
    );
  }
  const scale = options.scale === undefined ? await scaleOf(reference, comparatorOf[name]) : options.scale;
  const median = scale?.distance ?? sigma;
  const sigmas = [sigma, ...bandwidthFactors.map((factor) => factor * median)];
  const all = (await pairSums(fineTuned, reference, sigmas, { signal })).map((sums: PairSums) =>
    squaredMmd(sums, true),
  );
  const { deviationA, deviationB, ...withoutKernel } = await compareMatchedRows(fineTuned, reference);
  const known = knownFlags(all, deviationA === 0, deviationB === 0);
  const [paper, ...bandwidths] = all.map((one) => ({ ...one, flags: known(one.flags) })) as [
    SquaredMmd,
    ...SquaredMmd[],
  ];
  const heuristic = bandwidths[bandwidthFactors.indexOf(1)] as SquaredMmd;
  const unbiased = bandwidths.map((distance) => distance.unbiased);
  const measured = {
    ...{ task, strategy, model, seed, name, rows, features },
    paper: kernelDistance(sigma, paper),
    medianHeuristic: kernelDistance(median, heuristic),
    ...(scale === null ? {} : { bandwidthFrom: scale.of }),
    multiBandwidth: {
      biased: bandwidths.reduce((sum, distance) => sum + distance.biased, 0),
      unbiased: unbiased.every((value) => value !== null) ? sumOf(unbiased) : null,
      flags: distanceFlags.filter((flag) => bandwidths.every(({ flags }) => flags.includes(flag))),
    },
    withoutKernel,
  };
  return { ...measured, warning: warningOf(measured) };
}

/** Which comparator's embeddings each distance measures from. */
export const comparatorOf = {
  D2R: "random-weights",
  D2P: "pretrained",
  D2S: "from-scratch",
} as const satisfies Record<Distance["name"], Comparator>;

/** The scale of an encoder's features over cases; null where at least half of the pairs of cases have the same. */
export async function scaleOf(embeddings: Tensor, of: Comparator): Promise<FeatureScale | null> {
  const distance = await medianDistance(embeddings);
  return distance > 0 ? { distance, of } : null;
}

/** Adds what is known about the features themselves to what each bandwidth shows of them. */
function knownFlags(all: readonly SquaredMmd[], collapsedA: boolean, collapsedB: boolean) {
  const identical = all.every(({ biased }) => biased < sameFeatures);
  return (flags: readonly DistanceFlag[]): DistanceFlag[] =>
    distanceFlags.filter((flag) => {
      if (flag === "collapsed-a") return collapsedA || flags.includes(flag);
      if (flag === "collapsed-b") return collapsedB || flags.includes(flag);
      if (flag === "identical") return identical;
      // No sigma tells the rows of two points apart.
      if (flag === "sigma-too-large") return flags.includes(flag) && !(collapsedA && collapsedB);
      return flags.includes(flag);
    });
}

/** A distance that cannot be computed, with the reason in its numbers' place. */
export function undefinedDistance(
  of: Pick<Distance, "name" | "task" | "strategy" | "model" | "seed">,
  [rows = 0, features = 0]: readonly number[],
  reason: string,
): Distance {
  const { name, task, strategy, model, seed } = of;
  const none = {
    sigma: null,
    biased: null,
    unbiased: null,
    offDiagonalMean: null,
    kernelMeans: null,
    flags: [],
    saturated: false,
  } satisfies UndefinedKernelDistance;
  const warning = `It is undefined: ${reason}`;
  return {
    ...{ task, strategy, model, seed, name, rows, features },
    paper: none,
    medianHeuristic: none,
    multiBandwidth: { biased: null, unbiased: null, flags: [] },
    warning,
    reason,
  };
}
