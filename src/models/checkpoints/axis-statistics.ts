import { productOf, sumOf } from "../../common/numbers.js";
/**
 * Which of three axes depthwise kernels differ along from the other two. A network that was trained on volumes of thick
 * slices has kernels that are rougher or smoother along the slices' axis than in their plane; kernels that were turned
 * keep that mark, at another axis. Kernels as drawn, or hardly trained, bear none.
 */
export interface OddAxis {
  /** 0 depth, 1 height, 2 width. */
  axis: number;
  /** How many standard errors it differs by, over all layers (Stouffer's sum). */
  standardErrors: number;
}

/** Fewer standard errors are chance, over as many comparisons as a network has. */
const leastStandardErrors = 6;
/** An axis that is odd makes each of the others differ half as much; two that are alike tell nothing. */
const leastRatio = 1.2;
const fewestKernels = 16;
/** Of a layer with more, the first so many are looked at. */
const mostKernels = 256;

/** The mean square of a kernel's differences along an axis, over twice its mean square: 1 for white noise. */
function roughness(kernels: Float32Array, first: number, edges: readonly number[], axis: number): number {
  const size = productOf(edges);
  const extent = edges[axis] as number;
  const step = productOf(edges.slice(axis + 1));
  let square = 0;
  let differences = 0;
  for (let at = 0; at < size; at++) {
    const value = kernels[first + at] as number;
    square += value * value;
    if (Math.floor(at / step) % extent === extent - 1) continue;
    const difference = (kernels[first + at + step] as number) - value;
    differences += difference * difference;
  }
  return square === 0 ? 1 : differences / (2 * square * (1 - 1 / extent));
}

/** For each axis: how many standard errors the kernels of one layer [C, edges...] are rougher along it than along the others. */
function layerScores(kernels: Float32Array, edges: readonly number[]): number[] {
  const size = productOf(edges);
  const count = Math.min(mostKernels, Math.floor(kernels.length / size));
  const rough = Array.from({ length: count }, (_, kernel) =>
    [0, 1, 2].map((axis) => roughness(kernels, kernel * size, edges, axis)),
  );
  return [0, 1, 2].map((axis) => {
    const excess = rough.map((values) => {
      const [own, ...others] = [values[axis], ...values.filter((_, other) => other !== axis)] as [
        number,
        number,
        number,
      ];
      return own - (others[0] + (others[1] as number)) / 2;
    });
    const mean = sumOf(excess) / count;
    const variance = excess.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (count - 1);
    return variance === 0 ? 0 : mean / Math.sqrt(variance / count);
  });
}

/** The axis along which the layers' kernels differ from both others; null where none stands out. */
export function oddAxis(
  layers: readonly { kernels: Float32Array; edges: readonly number[] }[],
): OddAxis | null {
  const scores = layers
    .filter(({ kernels, edges }) => kernels.length >= fewestKernels * productOf(edges))
    .map(({ kernels, edges }) => layerScores(kernels, edges));
  if (scores.length === 0) return null;
  const sums = [0, 1, 2].map(
    (axis) => scores.reduce((sum, score) => sum + (score[axis] as number), 0) / Math.sqrt(scores.length),
  );
  const [first, second] = [...sums.keys()].sort(
    (a, b) => Math.abs(sums[b] as number) - Math.abs(sums[a] as number),
  ) as [number, number, number];
  const most = Math.abs(sums[first] as number);
  if (most < leastStandardErrors || most < leastRatio * Math.abs(sums[second] as number)) return null;
  return { axis: first, standardErrors: most };
}
