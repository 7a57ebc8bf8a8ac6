/** How often intensities of an image were seen, and what another image shows there in total, bin by bin. */
export interface IntensityPairs {
  counts: Float64Array;
  sums: Float64Array;
}

/** Bins of intensities in [0, 1]. */
export const intensityBins = 256;

/** The bin of an intensity in [0, 1]: the last holds 1, too. */
export const binOf = (intensity: number): number =>
  Math.min(intensityBins - 1, Math.max(0, Math.floor(intensity * intensityBins)));

export const noPairs = (): IntensityPairs => ({
  counts: new Float64Array(intensityBins),
  sums: new Float64Array(intensityBins),
});

/** Adds the voxels of two images of one anatomy. */
export function addPairs({ counts, sums }: IntensityPairs, from: Float32Array, to: Float32Array): void {
  for (let voxel = 0; voxel < from.length; voxel++) {
    const bin = binOf(from[voxel] as number);
    counts[bin] = (counts[bin] as number) + 1;
    sums[bin] = (sums[bin] as number) + (to[voxel] as number);
  }
}

/** A map of intensities that never falls, or never rises: a value for each bin. */
export interface MonotoneMap {
  direction: "rising" | "falling";
  values: Float64Array;
}

/**
 * The monotone map of the least squared error over all voxels: isotonic regression of the bins' means, weighted by their
 * counts, in the direction that errs less, or rising where both err alike. A bin that no voxel lies in takes the value
 * between those of its neighbours, linearly, and beyond them that of the last.
 */
export function fitMonotoneMap({ counts, sums }: IntensityPairs): MonotoneMap {
  const bins = [...counts.keys()].filter((bin) => (counts[bin] as number) > 0);
  const weights = bins.map((bin) => counts[bin] as number);
  const means = bins.map((bin) => (sums[bin] as number) / (counts[bin] as number));
  const rising = isotonic(means, weights);
  const falling = isotonic(
    means.map((mean) => -mean),
    weights,
  ).map((value) => -value);
  const errorOf = (fitted: readonly number[]) =>
    means.reduce(
      (sum, mean, index) => sum + (weights[index] as number) * (mean - (fitted[index] as number)) ** 2,
      0,
    );
  const falls = errorOf(falling) < errorOf(rising);
  return {
    direction: falls ? "falling" : "rising",
    values: spread(bins, falls ? falling : rising, counts.length),
  };
}

/** Isotonic regression by pooling adjacent violators: the non-decreasing values of the least weighted squared error. */
export function isotonic(values: readonly number[], weights: readonly number[]): number[] {
  const pools: { value: number; weight: number; length: number }[] = [];
  values.forEach((value, index) => {
    let pool = { value, weight: weights[index] as number, length: 1 };
    for (let last = pools.at(-1); last && last.value >= pool.value; last = pools.at(-1)) {
      const weight = last.weight + pool.weight;
      pool = {
        value: (last.weight * last.value + pool.weight * pool.value) / weight,
        weight,
        length: last.length + pool.length,
      };
      pools.pop();
    }
    pools.push(pool);
  });
  return pools.flatMap(({ value, length }) => new Array<number>(length).fill(value));
}

/** Values at some bins, in rising order, linearly between them and constant beyond them. */
function spread(bins: readonly number[], values: readonly number[], count: number): Float64Array {
  let above = 0;
  return Float64Array.from({ length: count }, (_, bin) => {
    while (above < bins.length - 1 && (bins[above] as number) < bin) above++;
    const [high, top] = [bins[above] as number, values[above] as number];
    if (bin >= high || above === 0) return top;
    const [low, bottom] = [bins[above - 1] as number, values[above - 1] as number];
    return bottom + ((bin - low) / (high - low)) * (top - bottom);
  });
}
