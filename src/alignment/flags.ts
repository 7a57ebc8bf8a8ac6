import type { DistanceFlag, KernelMeans } from "../results/distances.js";

/** Flags in words, of two sets a and b. */
export const flagMeaning: Readonly<Record<DistanceFlag, string>> = {
  "sigma-too-small": "no row is within reach of any other: MMD² is 1/N + 1/M whatever the features are",
  "sigma-too-large": "every row looks like every other: MMD² is near 0 whatever the features are",
  ceiling: "the sets are out of each other’s reach: MMD² is the same however far apart they lie",
  "collapsed-a": "all rows of a look the same: MMD² says how b is spread, not how far apart they lie",
  "collapsed-b": "all rows of b look the same: MMD² says how a is spread, not how far apart they lie",
  identical: "both sets are the same but for rounding",
};

/** Mean kernel values closer than this to 0 or 1 say nothing about the features. */
const margin = 1e-3;

/** Both sets are taken for the same below this MMD²: differences of rounding only. */
export const sameFeatures = 1e-12;

/** What the kernel's mean values at one bandwidth say against MMD². */
export function flagsOf({ withinA, withinB, between }: KernelMeans, biased: number): DistanceFlag[] {
  // Rows within a set decide, not those between: where rows come in pairs, the two of a case may be near each other while
  // all else is out of reach.
  const nearNone = (mean: number | null) => mean !== null && mean < margin;
  const nearAll = (mean: number | null) => mean !== null && mean > 1 - margin;
  if (nearNone(withinA) && nearNone(withinB)) {
    return biased < sameFeatures ? ["sigma-too-small", "identical"] : ["sigma-too-small"];
  }
  if (nearAll(withinA ?? 1) && nearAll(withinB ?? 1) && nearAll(between)) return ["sigma-too-large"];
  const flags: DistanceFlag[] = [];
  if (nearNone(between)) flags.push("ceiling");
  if (nearAll(withinA)) flags.push("collapsed-a");
  if (nearAll(withinB)) flags.push("collapsed-b");
  if (biased < sameFeatures) flags.push("identical");
  return flags;
}
