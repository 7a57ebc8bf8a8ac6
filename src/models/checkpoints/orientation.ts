import type { PlacedNetwork } from "../../native/placed-network.js";
import { oddAxis } from "./axis-statistics.js";
import type { CheckpointFile } from "./checkpoint-file.js";
import { load } from "./layouts.js";
import type { Match } from "./matching.js";
import { type AxisOrder, probeFeatures, relativeChange, sampleOf } from "./probe.js";

/**
 * Whether kernels lie in our order of the spatial axes. Of a cubic kernel its shape does not tell; what can tell is
 * said here, and so is when nothing can.
 */
export interface Orientation {
  /**
   * `as recorded`: the probe is embedded as the writer of the file recorded; `permuted`: shapes or the record prove that
   * axes stand in another order; `suspect`: something speaks for it; `plausible`: the kernels bear the mark of thick
   * slices at the right axis; `not as recorded`: the weights answer otherwise
   * than when they were written, for whatever reason.
   */
  verdict: "as recorded" | "not as recorded" | "permuted" | "suspect" | "plausible" | "cannot be told";
  /** Why, for a person. */
  words: string;
}

const axisNames = ["depth", "height", "width"] as const;
/** Between devices and builds the embedding of equal weights differs by less. */
const tolerance = 1e-2;
const otherOrders: readonly AxisOrder[] = [
  [0, 2, 1],
  [1, 0, 2],
  [1, 2, 0],
  [2, 0, 1],
  [2, 1, 0],
];

/** The key of a file's metadata under which the writer of weights keeps features of the probe volume. */
export const probeKey = "probe";

/** What the writer of a file recorded of the probe volume; null where it did not. */
function recordedIn({ metadata }: CheckpointFile): number[] | null {
  const text = metadata[probeKey];
  if (typeof text !== "string" || text.length > 10_000) return null;
  try {
    const values: unknown = JSON.parse(text);
    return Array.isArray(values) && values.length > 0 && values.every((value) => Number.isFinite(value))
      ? values
      : null;
  } catch {
    return null;
  }
}

/** What shapes alone say: tensors with our axes in another order. Null where there is none. */
export function permutedShapes(match: Match): Orientation | null {
  const permuted = match.misfits.filter((misfit) => misfit.permuted);
  const [first] = permuted;
  if (first === undefined) return null;
  const { from, shape, parameter } = first;
  return {
    verdict: "permuted",
    words:
      `Axes stand in another order: ${from} is [${shape.join(", ")}] where ours is ` +
      `[${parameter.shape.join(", ")}]${andMore(permuted)}.`,
  };
}

/** What strides say: kernels that were turned in memory before they were saved. */
function turnedViews(match: Match, file: CheckpointFile): Orientation | null {
  const turned = match.fits.filter(({ from, parameter }) =>
    isTurnedView(file.stored(from), parameter.shape.length - 2),
  );
  const [first] = turned;
  if (first === undefined) return null;
  return {
    verdict: "suspect",
    words: `${first.from} is kept as a view whose spatial axes were swapped${andMore(turned)}: were they meant to be?`,
  };
}

/** What trained depthwise kernels say of the axis that slices lay along. */
async function markOfSlices(match: Match): Promise<Orientation | null> {
  const layers: { kernels: Float32Array; edges: number[] }[] = [];
  for (const { parameter, reading } of match.fits) {
    const [, inner, ...edges] = parameter.shape;
    if (edges.length !== 3 || inner !== 1 || edges.some((edge) => edge < 3)) continue;
    using kernels = await load(reading);
    layers.push({ kernels: Float32Array.from((await kernels.toArray()) as Float32Array), edges });
  }
  const odd = oddAxis(layers);
  if (odd === null) return null;
  const name = axisNames[odd.axis];
  const words = `Its depthwise kernels differ along ${name} from the other two axes (by ${odd.standardErrors.toFixed(0)} standard errors)`;
  return odd.axis === 0
    ? { verdict: "plausible", words: `${words}, as training on thick slices leaves them.` }
    : {
        verdict: "suspect",
        words: `${words}, where training on thick slices makes depth the odd one: the spatial axes may be permuted.`,
      };
}

const andMore = ({ length }: readonly unknown[]): string => (length > 1 ? `, and ${length - 1} more so` : "");

/** Whether the last axes of a tensor, the spatial ones, lie in the file in another order than they are named in. */
function isTurnedView(
  { shape, strides }: { shape: readonly number[]; strides: readonly number[] },
  spatial: number,
) {
  if (spatial < 2 || shape.length !== spatial + 2) return false;
  const long = shape.map((extent, axis) => [extent, strides[axis] as number] as const).slice(2);
  const steps = long.filter(([extent, stride]) => extent > 1 && stride > 0).map(([, stride]) => stride);
  return steps.some((stride, index) => index > 0 && stride > (steps[index - 1] as number));
}

/**
 * Compares the embedding of the probe volume with the one that was recorded when the file was written. Where they
 * differ, the probe is turned: a convolutional network whose kernels were turned answers a volume that was turned with
 * them as before, which names the permutation.
 */
export async function orientationOf(
  network: PlacedNetwork,
  file: CheckpointFile,
  match: Match,
  features: readonly number[],
): Promise<Orientation> {
  // What a file records of one channel does not hold where that is shared out among several.
  const recorded = match.fits.some(({ reading }) => reading.inflate === "channels") ? null : recordedIn(file);
  if (recorded === null) return turnedViews(match, file) ?? (await markOfSlices(match)) ?? untold;
  const agrees = (values: readonly number[]) => {
    const sample = sampleOf(values);
    return sample.length === recorded.length && relativeChange(recorded, sample) < tolerance;
  };
  if (agrees(features)) {
    return {
      verdict: "as recorded",
      words: "The probe volume is embedded as when the file was written, so the axes are in order.",
    };
  }
  for (const order of otherOrders) {
    if (!agrees((await probeFeatures(network, order)) ?? [])) continue;
    const names = order.map((axis) => axisNames[axis]).join(", ");
    return {
      verdict: "permuted",
      words: `The spatial axes of the kernels are permuted: they lie as (${names}) where ours lie as (depth, height, width).`,
    };
  }
  return {
    verdict: "not as recorded",
    words:
      "The probe volume is not embedded as when the file was written: its numbers were changed since, some of them were " +
      "not loaded, or axes were permuted.",
  };
}

const untold: Orientation = {
  verdict: "cannot be told",
  words:
    "The shapes fit; but kernels that are as long along each axis fit in any order, and the file does not say how it " +
    "should embed the probe volume.",
};

/** Of a file that was not loaded. */
export const notLookedAt: Orientation = { verdict: "cannot be told", words: "The file was not loaded." };
