import { permutations } from "../../cohort/geometry.js";
import { average } from "../../common/numbers.js";
import { correlation } from "./numbers.js";

/** Shares of the voxels below a quantile, as the quantiles of an image are kept. */
export const quantileShares = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99] as const;

/** Blocks along each axis of a layout. */
const edge = 8;
/** So many voxels, evenly spaced, tell the quantiles of an image. */
const sampled = 40_000;

/**
 * How the images of one column look over some cases: where their intensities lie, and what is bright or dark where.
 * Of single voxels nothing is kept.
 */
export interface ImageStatistics {
  cases: number;
  /** At `quantileShares`, the mean over cases. */
  quantiles: number[];
  /** Of all voxels, the mean over cases. */
  mean: number;
  deviation: number;
  /** Standard deviation over cases of the logarithm of the distance between the 5th and the 95th percentile. */
  spreadVaries: number;
  /** Means of 8 x 8 x 8 blocks, depth first, of each case with mean 0 and variance 1, and then over cases. */
  layout: number[];
}

/** Of one image. */
export interface ImageMeasure {
  quantiles: number[];
  mean: number;
  deviation: number;
  layout: number[];
}

/** The quantiles and the layout of a volume [D, H, W]. */
export function measureImage(values: Float32Array, shape: readonly number[]): ImageMeasure {
  const step = Math.max(1, Math.floor(values.length / sampled));
  const some = new Float32Array(Math.ceil(values.length / step));
  for (let index = 0; index < some.length; index++) some[index] = values[index * step] as number;
  some.sort();
  const quantiles = quantileShares.map((share) => some[Math.round(share * (some.length - 1))] as number);
  let [sum, square] = [0, 0];
  for (const value of some) {
    sum += value;
    square += value * value;
  }
  const centre = sum / some.length;
  const deviation = Math.sqrt(Math.max(0, square / some.length - centre ** 2));
  return { quantiles, mean: centre, deviation, layout: layoutOf(values, shape as [number, number, number]) };
}

function layoutOf(values: Float32Array, [depth, height, width]: readonly [number, number, number]): number[] {
  const sums = new Float64Array(edge ** 3);
  const counts = new Float64Array(edge ** 3);
  const blockOf = (index: number, extent: number) => Math.floor((index * edge) / extent);
  let at = 0;
  for (let d = 0; d < depth; d++)
    for (let h = 0; h < height; h++) {
      const row = (blockOf(d, depth) * edge + blockOf(h, height)) * edge;
      for (let w = 0; w < width; w++) {
        const block = row + blockOf(w, width);
        sums[block] = (sums[block] as number) + (values[at++] as number);
        counts[block] = (counts[block] as number) + 1;
      }
    }
  return standardised(Array.from(sums, (sum, block) => sum / Math.max(1, counts[block] as number)));
}

/** With mean 0 and variance 1; all 0 where every value is the same. */
function standardised(values: readonly number[]): number[] {
  const centre = average(values);
  const deviation = Math.sqrt(average(values.map((value) => (value - centre) ** 2)));
  return values.map((value) => (deviation > 0 ? (value - centre) / deviation : 0));
}

/** What several images of one column have in common. */
export function statisticsOf(measures: readonly ImageMeasure[]): ImageStatistics {
  const over = (of: (one: ImageMeasure) => readonly number[]): number[] =>
    of(measures[0] as ImageMeasure).map((_, index) =>
      average(measures.map((one) => of(one)[index] as number)),
    );
  const spreads = measures.map(({ quantiles }) => Math.log(Math.max(spreadOf(quantiles), 1e-30)));
  const centre = average(spreads);
  return {
    cases: measures.length,
    quantiles: over(({ quantiles }) => quantiles),
    mean: average(measures.map((one) => one.mean)),
    deviation: average(measures.map((one) => one.deviation)),
    spreadVaries: Math.sqrt(average(spreads.map((spread) => (spread - centre) ** 2))),
    layout: over(({ layout }) => layout),
  };
}

const at = (quantiles: readonly number[], share: (typeof quantileShares)[number]): number =>
  quantiles[quantileShares.indexOf(share)] as number;

/** From the 5th to the 95th percentile. */
export const spreadOf = (quantiles: readonly number[]): number => at(quantiles, 0.95) - at(quantiles, 0.05);

/** The median. */
export const centreOf = (quantiles: readonly number[]): number => at(quantiles, 0.5);

/** The 1st and the 99th percentile. */
export const rangeOf = (quantiles: readonly number[]): [low: number, high: number] => [
  at(quantiles, 0.01),
  at(quantiles, 0.99),
];

/** How unlike two columns' images are whatever their scale: 0 are the same. Shapes of the histograms, and layouts. */
export function unlike(one: ImageStatistics, other: ImageStatistics): number {
  const shape = ({ quantiles }: ImageStatistics) =>
    quantiles.map((value) => (value - centreOf(quantiles)) / Math.max(spreadOf(quantiles), 1e-30));
  const otherShape = shape(other);
  const histograms = average(
    shape(one).map((value, index) => Math.abs(value - (otherShape[index] as number))),
  );
  return histograms + (1 - correlation(one.layout, other.layout)) / 2;
}

/** A turned or mirrored volume: which axis stands where, and which run backwards. */
export interface Turn {
  /** The axis of the volume that stands at depth, height and width. */
  order: readonly [number, number, number];
  /** Whether depth, height and width then run backwards. */
  flipped: readonly [boolean, boolean, boolean];
}

const sides = [false, true] as const;

/** All 48, the volume as it is first. */
export const turns: readonly Turn[] = permutations.flatMap((order) =>
  sides.flatMap((d) => sides.flatMap((h) => sides.map((w): Turn => ({ order, flipped: [d, h, w] })))),
);

/** A layout as it were of the turned volumes. */
export function turnedLayout(layout: readonly number[], { order, flipped }: Turn): number[] {
  const steps = [edge * edge, edge, 1] as const;
  const turned: number[] = [];
  const place = (index: number, axis: 0 | 1 | 2) =>
    (flipped[axis] ? edge - 1 - index : index) * (steps[order[axis]] as number);
  for (let d = 0; d < edge; d++)
    for (let h = 0; h < edge; h++)
      for (let w = 0; w < edge; w++) turned.push(layout[place(d, 0) + place(h, 1) + place(w, 2)] as number);
  return turned;
}

const axisNames = ["depth", "height", "width"] as const;

/** Words for a turn, such as `height and width exchanged, depth flipped`. */
export function turnInWords({ order, flipped }: Turn): string {
  const moved = [0, 1, 2].filter((axis) => order[axis] !== axis);
  const listed = (axes: readonly number[]) => axes.map((axis) => axisNames[axis]).join(" and ");
  const parts = [
    ...(moved.length === 2 ? [`${listed(moved)} exchanged`] : []),
    ...(moved.length === 3 ? [`axes in the order ${order.map((axis) => axisNames[axis]).join(", ")}`] : []),
    ...(flipped.includes(true) ? [`${listed([0, 1, 2].filter((axis) => flipped[axis]))} flipped`] : []),
  ];
  return parts.join(", ") || "as they are";
}
