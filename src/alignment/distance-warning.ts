import type { Distance, DistanceFlag, FeatureComparison, KernelDistance } from "../results/distances.js";

/** A distance whose numbers are all there; unbiased ones want two rows. */
export interface MeasuredDistance extends Distance {
  paper: KernelDistance;
  medianHeuristic: KernelDistance;
  multiBandwidth: { biased: number; unbiased: number | null; flags: DistanceFlag[] };
  withoutKernel: FeatureComparison;
}

const short = (value: number, digits = 3) => Number(value.toPrecision(digits));

/** What a reader must know before using the numbers of a distance; null where nothing stands against them. */
export function warningOf(distance: Omit<MeasuredDistance, "warning">): string | null {
  const { name, rows, paper, medianHeuristic, bandwidthFrom } = distance;
  const kernels = [paper, ...(bandwidthFrom === undefined ? [] : [medianHeuristic])];
  const sentences: string[] = [];
  if (paper.flags.includes("identical")) {
    const why = name === "D2P" ? ", as they must be when the encoder is frozen" : "";
    sentences.push(`The two networks give the same features for every test case${why}: the distance is 0.`);
  } else {
    for (const flag of ["sigma-too-small", "sigma-too-large", "ceiling"] as const) {
      const flagged = kernels.filter(({ flags }) => flags.includes(flag));
      if (flagged.length > 0) sentences.push(againstSigma[flag](flagged, rows));
    }
  }
  for (const [flag, whose, other] of [
    ["collapsed-a", "fine-tuned encoder", "reference"],
    ["collapsed-b", "reference", "fine-tuned encoder"],
  ] as const) {
    const flagged = kernels.filter(({ flags }) => flags.includes(flag));
    if (flagged.length > 0) {
      sentences.push(
        `The features of the ${whose} are collapsed: ${at(flagged)} all test cases look the same by them ` +
          `(mean kernel value ${short(within(flagged, flag), 4)}), and MMD² says how the ${other} spreads its cases, ` +
          "not how far the representation moved.",
      );
    }
  }
  if (sentences.length > 0 && !paper.flags.includes("identical")) sentences.push(instead(distance));
  if (rows < 2) {
    sentences.push(
      "There is only one test case: a distance between two distributions cannot be judged from it.",
    );
  }
  if (bandwidthFrom === undefined) {
    sentences.push(
      "No encoder that it could be taken from tells at least half of the pairs of test cases apart, so that the median " +
        "distance is 0: sigma of the study stands in its place.",
    );
  }
  return sentences.length > 0 ? sentences.join(" ") : null;
}

const at = (kernels: readonly KernelDistance[]) =>
  `with sigma = ${kernels.map(({ sigma }) => short(sigma)).join(" and ")}`;

const within = ([kernel]: readonly KernelDistance[], flag: DistanceFlag) =>
  (flag === "collapsed-a" ? kernel?.kernelMeans.withinA : kernel?.kernelMeans.withinB) ?? 1;

/** Sentences about a bandwidth that does not fit the features, or that the distance has outgrown. */
const againstSigma: Record<
  "sigma-too-small" | "sigma-too-large" | "ceiling",
  (flagged: readonly KernelDistance[], rows: number) => string
> = {
  "sigma-too-small": (flagged, rows) =>
    `The kernel is saturated: ${at(flagged)} its values for different rows are near 0, and MMD² is near ` +
    `2/N = ${short(2 / rows)} whatever the features are, or shows only how near the two embeddings of one case lie ` +
    `(mean ${short(flagged[0]?.offDiagonalMean ?? 0, 2)}).`,
  "sigma-too-large": (flagged) =>
    `The kernel is saturated: ${at(flagged)} its values for different rows are near 1, and MMD² is near 0 whatever the ` +
    `features are (mean ${short(flagged[0]?.offDiagonalMean ?? 1, 5)}).`,
  ceiling: (flagged) =>
    `The distance is at its ceiling: ${at(flagged)} the kernel sees no case of one encoder from any other case of the ` +
    `other, and MMD² would be ${flagged.map(({ biased }) => short(biased)).join(" and ")} however far apart they lie.`,
};

/** Where to look in place of a number that is no distance. */
function instead({ medianHeuristic, paper, withoutKernel }: Omit<MeasuredDistance, "warning">): string {
  if (paper.saturated && !medianHeuristic.saturated)
    return `MMD² at the features’ own scale (sigma = ${short(medianHeuristic.sigma)}) has no such fault.`;
  const defined = [
    withoutKernel.linearCka === null ? [] : "linear CKA",
    withoutKernel.procrustes === null ? [] : "the Procrustes distance",
    withoutKernel.meanShift === null ? [] : "the shift of the mean",
  ].flat();
  return defined.length === 0
    ? "No other measure is defined for them."
    : `Read what has no bandwidth: ${defined.join(", ")}.`;
}
