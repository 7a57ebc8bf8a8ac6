import { quickselect } from "simple-statistics";

/** Percentiles that are taken, in rising order. */
export const percentiles = [5, 25, 50, 75, 95] as const;

/**
 * Mean, standard deviation (of the population) and percentiles of intensities, of which there is at least one; between two
 * of them a percentile is linear. The order of `values` is lost.
 */
export function intensityStatistics(values: Float32Array): number[] {
  const count = values.length;
  let sum = 0;
  for (const value of values) sum += value;
  const mean = sum / count;
  let squares = 0;
  for (const value of values) squares += (value - mean) ** 2;
  // What was selected before bounds what comes next.
  const list = values as unknown as number[];
  let from = 0;
  const ranked = (rank: number): number => {
    quickselect(list, rank, from, count - 1);
    from = rank;
    return values[rank] as number;
  };
  const ofPercent = percentiles.map((percent) => {
    const at = (percent / 100) * (count - 1);
    const below = Math.floor(at);
    const low = ranked(below);
    return at === below ? low : low + (at - below) * (ranked(below + 1) - low);
  });
  return [mean, Math.sqrt(squares / count), ...ofPercent];
}
