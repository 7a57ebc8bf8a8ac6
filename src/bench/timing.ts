import { quantile } from "../statistics/sample-statistics.js";

/** What a series of timed runs says. */
export interface Timing {
  /** Seconds of each run, in the order of the runs. */
  seconds: number[];
  median: number;
  minimum: number;
  lowerQuartile: number;
  upperQuartile: number;
}

export const timingOf = (seconds: readonly number[]): Timing => ({
  seconds: [...seconds],
  median: quantile(seconds, 0.5),
  minimum: Math.min(...seconds),
  lowerQuartile: quantile(seconds, 0.25),
  upperQuartile: quantile(seconds, 0.75),
});

/** How many times as long the peer takes as we do: of the medians, so that one disturbed run counts little. */
export const ratioOf = (ours: Timing, peer: Timing): number => peer.median / ours.median;

/**
 * |a - b| / |b| in L2. NaN where the lengths differ or a number is missing: no agreement may be read from that.
 */
export function relativeError(actual: ArrayLike<number>, reference: ArrayLike<number>): number {
  if (actual.length !== reference.length || actual.length === 0) return Number.NaN;
  let difference = 0;
  let norm = 0;
  for (let index = 0; index < reference.length; ++index) {
    const value = reference[index] as number;
    difference += ((actual[index] as number) - value) ** 2;
    norm += value ** 2;
  }
  return norm === 0 ? Math.sqrt(difference) : Math.sqrt(difference / norm);
}

/** At most `count` entries of an array, evenly spread over it: the peers take the same ones. */
export function sample(values: ArrayLike<number | bigint>, count = 4096): number[] {
  const length = Math.min(values.length, count);
  return Array.from({ length }, (_, index) =>
    Number(values[values.length > count ? Math.floor((index * values.length) / count) : index]),
  );
}
