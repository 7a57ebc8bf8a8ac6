import { compareMatchedRows } from "../native/kernels.js";
import type { Tensor } from "../native/tensor.js";
import type { DepthDistance, FeatureComparison, KernelDistance } from "../results/distances.js";
import { pairSums, type SquaredMmd, squaredMmd } from "./mmd.js";

/** MMD² as results hold it. */
export const kernelDistance = (sigma: number, distance: SquaredMmd): KernelDistance => ({
  sigma,
  ...distance,
  saturated: distance.flags.some((flag) => flag !== "identical"),
});

/**
 * How far two encoders lie apart at one depth, over the same cases.
 *
 * @param a features [cases, features] at the depth
 * @param b those of the other encoder, of the same cases in the same order
 * @param sigma of MMD²; null where the features have no scale there
 * @throws `BAD_INPUT` for shapes that differ, and values that are not finite
 */
export async function compareAtDepth(
  depth: string,
  a: Tensor,
  b: Tensor,
  sigma: number | null,
): Promise<DepthDistance> {
  const { linearCka, procrustes, meanShift } = await compareMatchedRows(a, b);
  const sums = sigma === null ? [] : await pairSums(a, b, [sigma]);
  const [kernel = null] = sums.map((one) => kernelDistance(sigma as number, squaredMmd(one, true)));
  return {
    depth,
    features: a.shape[1] as number,
    kernel,
    withoutKernel: { linearCka, procrustes, meanShift },
  };
}

/** How far the encoders of two seeds lie apart. */
export interface SeedComparison {
  paper: KernelDistance;
  medianHeuristic: KernelDistance;
  withoutKernel: FeatureComparison;
  depths: DepthDistance[];
}

/** Two seeds' embeddings of the same cases, at the bandwidths of their study's distances. */
export async function compareSeeds(
  a: Tensor,
  b: Tensor,
  { sigma, median }: { sigma: number; median: number },
): Promise<Omit<SeedComparison, "depths">> {
  const [paper, medianHeuristic] = (await pairSums(a, b, [sigma, median])).map((sums) =>
    squaredMmd(sums, true),
  ) as [SquaredMmd, SquaredMmd];
  const { linearCka, procrustes, meanShift } = await compareMatchedRows(a, b);
  return {
    paper: kernelDistance(sigma, paper),
    medianHeuristic: kernelDistance(median, medianHeuristic),
    withoutKernel: { linearCka, procrustes, meanShift },
  };
}
