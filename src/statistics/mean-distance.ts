import type { Distance } from "../results/distances.js";
import { average, largest, smallest } from "./means.js";

/** A distance over the seeds of a task and model. */
export interface MeanDistance {
  /** The paper's: its sigma, biased; the mean over seeds. */
  biased: number;
  /** Whether it is none for any seed. */
  saturated: boolean;
  lowest: number;
  highest: number;
}

/** Null where no seed has one. */
export function meanDistance(bySeed: readonly Distance[]): MeanDistance | null {
  const values = bySeed.flatMap(({ paper }) => paper.biased ?? []).filter(Number.isFinite);
  if (values.length === 0) return null;
  return {
    biased: average(values),
    saturated: bySeed.some(({ paper }) => paper.saturated),
    lowest: smallest(values),
    highest: largest(values),
  };
}
