import { groupBy } from "../common/group-by.js";
import { average, averageOrNull, largest, smallest } from "../common/numbers.js";
import type { Distance, FeatureComparison, MeanDistance } from "../results/distances.js";

/** Every distance of a study over its seeds; none of those that no seed has. */
export function computeMeanDistances(distances: readonly Distance[]): MeanDistance[] {
  const groups = groupBy(distances, ({ task, strategy, model, name }) =>
    JSON.stringify([task, strategy, model, name]),
  );
  return [...groups.values()].flatMap((bySeed) => meanDistance(bySeed) ?? []);
}

/** Of one task, model and name; null where no seed has one. */
export function meanDistance(bySeed: readonly Distance[]): MeanDistance | null {
  const defined = bySeed.filter(({ paper }) => paper.biased !== null && Number.isFinite(paper.biased));
  const [first] = defined;
  if (!first) return null;
  const { task, strategy, model, name } = first;
  const values = defined.map(({ paper }) => paper.biased as number);
  const mean = (of: (one: Distance) => number | null | undefined) =>
    averageOrNull(bySeed.flatMap((one) => of(one) ?? []).filter(Number.isFinite));
  const comparison = (of: (one: Distance) => FeatureComparison | undefined): FeatureComparison => ({
    linearCka: mean((one) => of(one)?.linearCka),
    procrustes: mean((one) => of(one)?.procrustes),
    meanShift: mean((one) => of(one)?.meanShift),
  });
  return {
    ...{ task, strategy, model, name },
    seeds: defined.map(({ seed }) => seed),
    lowest: smallest(values),
    highest: largest(values),
    saturated: bySeed.some(({ paper }) => paper.saturated),
    paper: {
      biased: average(values),
      unbiased: mean(({ paper }) => paper.unbiased),
      offDiagonalMean: mean(({ paper }) => paper.offDiagonalMean),
    },
    medianHeuristic: {
      sigma: mean(({ medianHeuristic }) => medianHeuristic.sigma),
      biased: mean(({ medianHeuristic }) => medianHeuristic.biased),
    },
    withoutKernel: comparison(({ withoutKernel }) => withoutKernel),
    depths: (first.depths ?? []).map(({ depth }) => ({
      depth,
      ...comparison(({ depths }) => depths?.find((one) => one.depth === depth)?.withoutKernel),
    })),
  };
}
