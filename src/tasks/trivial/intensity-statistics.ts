import { quickselect } from "simple-statistics";
import type { CaseVolumes } from "../../cohort/case-volumes.js";
import type { MaskRole } from "../../cohort/columns.js";
import { shows } from "../../cohort/needs.js";
import { foregroundAbove } from "../../common/foreground.js";
import { voxelsOf } from "./voxels.js";

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

/**
 * Of an image over the crop, then over what a mask shows; over the crop again where it shows nothing.
 *
 * @param within null: over the crop alone
 */
export async function statisticsOfCase(
  volumes: CaseVolumes,
  image: string,
  within: MaskRole | null,
): Promise<number[]> {
  using shown = await volumes.load(image);
  const voxels = await voxelsOf(shown);
  if (within === null) return intensityStatistics(voxels);
  let inside: Float32Array | null = null;
  if (shows(volumes, within)) {
    using mask = await volumes.load(within);
    const labels = await voxelsOf(mask);
    inside = voxels.filter((_, voxel) => (labels[voxel] as number) > foregroundAbove);
  }
  const ofCrop = intensityStatistics(voxels);
  return [...ofCrop, ...(inside === null || inside.length === 0 ? ofCrop : intensityStatistics(inside))];
}
