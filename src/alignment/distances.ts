import { expected } from "../common/errors.js";
import { variantName } from "../common/vocabulary.js";
import { medianDistance } from "../native/kernels.js";
import type { Tensor } from "../native/tensor.js";
import type { Distance, DistanceName, KernelDistance } from "../study/results.js";
import { type PairSums, pairSums, requireSigma, type SquaredMmd, squaredMmd } from "./mmd.js";

/** A distance whose numbers are all there; unbiased ones want two rows. */
export interface MeasuredDistance extends Distance {
  paper: KernelDistance;
  medianHeuristic: KernelDistance;
  multiBandwidth: { biased: number; unbiased: number | null };
}

/** The bandwidths of the multi-bandwidth distance, as multiples of the median distance. */
export const bandwidthFactors = [0.25, 0.5, 1, 2, 4] as const;

/** Both sets are taken for the same below this: differences of rounding only. */
const sameFeatures = 1e-12;

/**
 * How far the representation of a fine-tuned encoder lies from that of a reference, on the same test cases: D2R from
 * random weights, D2P from the pretrained encoder, D2S from the one trained from scratch.
 *
 * Beside the paper's MMD² (biased, `sigma` from the study) it answers MMD² at the median heuristic (sigma = the
 * median distance between rows of both sets together; Gretton 2012, section 8) and the sum over five bandwidths
 * around it, which do not depend on the scale of the features. Where the median distance is 0, because at least half
 * of the pairs of rows are equal, both use the paper's sigma in its place, and `warning` says so.
 *
 * @param fineTuned embeddings of the test set [N, d]
 * @param reference embeddings of the same cases in the same order [N, d]
 * @throws `BAD_INPUT` for shapes that differ, values that are not finite, or a sigma that is not positive; `ABORTED`
 */
export async function measureDistance(
  of: Pick<Distance, "name" | "task" | "strategy" | "model" | "seed">,
  fineTuned: Tensor,
  reference: Tensor,
  options: { sigma: number; signal?: AbortSignal },
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
  const median = await medianDistance(fineTuned, reference);
  const scale = median > 0 ? median : sigma;
  const sigmas = [sigma, ...bandwidthFactors.map((factor) => factor * scale)];
  const all = (await pairSums(fineTuned, reference, sigmas, { signal })).map((sums: PairSums) =>
    squaredMmd(sums),
  );
  const [paper, ...bandwidths] = all as [SquaredMmd, ...SquaredMmd[]];
  const heuristic = bandwidths[bandwidthFactors.indexOf(1)] as SquaredMmd;
  const unbiased = bandwidths.map((distance) => distance.unbiased);
  return {
    task,
    strategy,
    model,
    seed,
    name,
    rows,
    features,
    paper: kernelDistance(sigma, paper),
    medianHeuristic: kernelDistance(scale, heuristic),
    multiBandwidth: {
      biased: bandwidths.reduce((sum, distance) => sum + distance.biased, 0),
      unbiased: unbiased.every((value) => value !== null)
        ? unbiased.reduce((sum, value) => sum + value, 0)
        : null,
    },
    warning: warningOf(name, rows, sigma, median, paper, heuristic),
  };
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
    saturated: false,
  } as const;
  const warning = `It is undefined: ${reason}`;
  return {
    ...{ task, strategy, model, seed, name, rows, features },
    paper: none,
    medianHeuristic: none,
    multiBandwidth: { biased: null, unbiased: null },
    warning,
    reason,
  };
}

function kernelDistance(
  sigma: number,
  { biased, unbiased, offDiagonalMean, saturated }: SquaredMmd,
): KernelDistance {
  return { sigma, biased, unbiased, offDiagonalMean, saturated };
}

/** What a reader must know before using the paper's number; null where nothing stands against it. */
function warningOf(
  name: DistanceName,
  rows: number,
  sigma: number,
  median: number,
  paper: SquaredMmd,
  heuristic: SquaredMmd,
): string | null {
  const sentences: string[] = [];
  if (paper.biased < sameFeatures && heuristic.biased < sameFeatures) {
    const why = name === "D2P" ? ", as they must be when the encoder is frozen" : "";
    sentences.push(`The two networks give the same features for every test case${why}: the distance is 0.`);
  } else if (paper.saturated) {
    const mean = Number(paper.offDiagonalMean.toPrecision(2));
    const high = paper.offDiagonalMean > 0.5;
    const meaning = high
      ? "1, and MMD² is near 0 whatever the features are"
      : `0, and MMD² is near 2/N = ${Number((2 / rows).toPrecision(3))} whatever the features are, ` +
        "or shows only how near the two embeddings of one case lie";
    sentences.push(
      `The kernel is saturated: with sigma = ${sigma} its values for different rows are near ${meaning} ` +
        `(mean ${mean}; the median distance between rows is ${Number(median.toPrecision(3))}). ` +
        "Read the median-heuristic distance instead.",
    );
  }
  if (rows < 2) {
    sentences.push(
      "There is only one test case: a distance between two distributions cannot be judged from it.",
    );
  }
  if (median === 0) {
    sentences.push(
      "At least half of the pairs of rows are equal, so that the median distance is 0: sigma of the study stands in its place.",
    );
  }
  return sentences.length > 0 ? sentences.join(" ") : null;
}
