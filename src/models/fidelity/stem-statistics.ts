import { average, productOf, sumOf } from "../../common/numbers.js";
import type { ParameterInfo, PlacedNetwork } from "../../native/placed-network.js";
import { disposeNamed } from "../../native/tensor.js";
import { permutations } from "./numbers.js";

/** What a batch norm after the first convolution saw in training, with that convolution. */
interface Stem {
  /** [filters, channels, depth, height, width]. */
  kernels: Float32Array;
  shape: [number, number, number, number, number];
  bias: Float32Array | null;
  mean: Float32Array;
  variance: Float32Array;
}

/** The order beside the present one that fits best. */
interface OtherOrder<Order> {
  order: Order;
  /** How many times as well it fits as the present one. */
  improved: number;
  /** It fits so much better that the present one is wrong. */
  off: boolean;
  /** It fits so much worse that the present one is right: between both, these statistics do not tell. */
  told: boolean;
}

/** How far the study's images make the first convolution answer as it did in training. */
export interface StemFit {
  /** Whether they do, as they are shown. */
  fits: boolean;
  /** By which scale and offset of the intensities they would do so best; the offset in standard deviations of the scaled images. */
  intensities: { scale: number; offset: number; improved: number; off: boolean };
  /** In which other order of the channels; null for one channel. */
  channels: OtherOrder<number[]> | null;
  /** In which other order of the axes; null where no other one fits the kernel. */
  axes: OtherOrder<[number, number, number]> | null;
}

/** The subject of a sentence about them. */
export const stemWords = "The statistics that its first batch norm kept from training";

/** Filters and places that are looked at: their statistics are over many of each. */
const mostFilters = 32;
const placesPerCase = 250;
const mostTaps = 4096;
const mostChannels = 4;

/** A misfit below which the statistics count as met, and above which they may not be. */
const fitting = 0.5;
const surelyOff = 0.25;
/** So many times as well another scale must fit, and another order, which changes less. */
const factor = 4;
const orderFactor = 2;
/** Images may be scaled by so much, and be so many standard deviations off: masked pretraining leaves statistics of masked images. */
const scaleLimit = 1.8;
const offsetLimit = 2;

/** What the first convolution and the batch norm after it are called; null where a network has none such. */
export function stemNamesOf({ spec, parameters }: Pick<PlacedNetwork, "spec" | "parameters">): {
  kernel: ParameterInfo;
  mean: string;
  variance: string;
} | null {
  if (!("encoder" in spec)) return null;
  const { channels } = spec.encoder;
  const first = parameters.findIndex(({ shape, buffer }) => !buffer && shape.length >= 4);
  const kernel = parameters[first];
  if (kernel === undefined || kernel.shape.length !== 5 || kernel.shape[1] !== channels) return null;
  const [filters = 0, , ...edges] = kernel.shape;
  if (channels * productOf(edges) > mostTaps || channels > mostChannels) return null;
  const after = parameters.slice(first + 1);
  // Before the next kernel: what stands there belongs to the first.
  const until = after.findIndex(({ shape, buffer }) => !buffer && shape.length >= 4);
  const between = until < 0 ? after : after.slice(0, until);
  const named = (end: string) =>
    between.find(({ name, shape }) => name.endsWith(end) && shape.length === 1 && shape[0] === filters)?.name;
  const [ofMean, ofVariance] = [named(".running_mean"), named(".running_var")];
  return ofMean === undefined || ofVariance === undefined
    ? null
    : { kernel, mean: ofMean, variance: ofVariance };
}

/** The first convolution that takes the input's channels, and the batch norm after it; null where a network has none such. */
export async function stemOf(network: PlacedNetwork): Promise<Stem | null> {
  const found = stemNamesOf(network);
  if (found === null) return null;
  const { kernel, ...names } = found;
  const { parameters } = network;
  const bias = parameters.find(({ name }) => name === kernel.name.replace(/weight$/, "bias"))?.name;
  const state = await network.state([kernel.name, names.mean, names.variance, ...(bias ? [bias] : [])]);
  try {
    const valuesOf = async (name: string) =>
      Float32Array.from((await state[name]?.toArray()) as Float32Array);
    return {
      kernels: await valuesOf(kernel.name),
      shape: kernel.shape as Stem["shape"],
      bias: bias ? await valuesOf(bias) : null,
      mean: await valuesOf(names.mean),
      variance: await valuesOf(names.variance),
    };
  } finally {
    disposeNamed(state);
  }
}

/** What the first convolution sees of an input [C, D, H, W] at places that are evenly spread: [places, C, kernel]. */
function patchesOf(
  values: Float32Array,
  [channels, depth, height, width]: readonly [number, number, number, number],
  [kd, kh, kw]: readonly [number, number, number],
): Float64Array[] {
  const room = [depth - kd + 1, height - kh + 1, width - kw + 1] as const;
  if (room.some((extent) => extent < 1)) return [];
  const patches: Float64Array[] = [];
  // Steps of the golden ratio and its like fill a box evenly.
  for (let place = 0; place < placesPerCase; place++) {
    const at = [0.8191725, 0.6710436, 0.5497005].map((step, axis) =>
      Math.floor(((0.5 + step * place) % 1) * (room[axis] as number)),
    ) as [number, number, number];
    const patch = new Float64Array(channels * kd * kh * kw);
    let index = 0;
    for (let c = 0; c < channels; c++)
      for (let d = 0; d < kd; d++)
        for (let h = 0; h < kh; h++)
          for (let w = 0; w < kw; w++)
            patch[index++] = values[
              ((c * depth + at[0] + d) * height + at[1] + h) * width + at[2] + w
            ] as number;
    patches.push(patch);
  }
  return patches;
}

const orders: readonly [number, number, number][] = [
  [0, 2, 1],
  [1, 0, 2],
  [1, 2, 0],
  [2, 0, 1],
  [2, 1, 0],
];

/** A kernel [C, d, h, w] as it meets an input whose channels and axes stand in another order. */
function rearranged(
  kernel: Float32Array,
  [channels, ...edges]: readonly [number, number, number, number],
  order: { channels: readonly number[]; axes: readonly number[] },
): Float32Array {
  const [kd, kh, kw] = edges as [number, number, number];
  const taps = kd * kh * kw;
  const steps = [kh * kw, kw, 1] as const;
  const result = new Float32Array(kernel.length);
  let index = 0;
  for (let c = 0; c < channels; c++) {
    const from = order.channels.indexOf(c) * taps;
    for (let d = 0; d < kd; d++)
      for (let h = 0; h < kh; h++)
        for (let w = 0; w < kw; w++) {
          const [x, y, z] = order.axes.map((axis) => [d, h, w][axis]) as [number, number, number];
          result[index++] = kernel[from + x * steps[0] + y * steps[1] + z] as number;
        }
  }
  return result;
}

/** Mean and variance of each filter's answers to patches. */
function answersOf(patches: readonly Float64Array[], kernels: readonly Float32Array[]) {
  return kernels.map((kernel) => {
    let [sum, square] = [0, 0];
    for (const patch of patches) {
      let answer = 0;
      for (let tap = 0; tap < kernel.length; tap++)
        answer += (kernel[tap] as number) * (patch[tap] as number);
      sum += answer;
      square += answer * answer;
    }
    const centre = sum / patches.length;
    return { mean: centre, variance: Math.max(0, square / patches.length - centre * centre) };
  });
}

/** Compares what the first convolution answers to some inputs [C, D, H, W] with what it answered in training. */
export function fitOfStem(
  stem: Stem,
  inputs: readonly { values: Float32Array; shape: readonly [number, number, number, number] }[],
): StemFit | null {
  const [filters, channels, ...edges] = stem.shape;
  const patches = inputs.flatMap(({ values, shape }) => patchesOf(values, shape, edges));
  if (patches.length === 0) return null;
  const most = Math.max(...stem.variance);
  const alive = Array.from({ length: filters }, (_, filter) => filter).filter(
    (filter) => (stem.variance[filter] as number) > 1e-6 * most,
  );
  const step = Math.max(1, Math.floor(alive.length / mostFilters));
  const chosen = alive.filter((_, index) => index % step === 0);
  if (chosen.length < 4) return null;
  const taps = channels * productOf(edges);
  const kernels = chosen.map((filter) => stem.kernels.subarray(filter * taps, (filter + 1) * taps));
  const wanted = chosen.map((filter) => ({
    mean: (stem.mean[filter] as number) - (stem.bias?.[filter] ?? 0),
    variance: stem.variance[filter] as number,
  }));
  const misfit = (answers: readonly { mean: number; variance: number }[]) =>
    average(
      answers.map((answer, index) => {
        const { mean: centre, variance } = wanted[index] as (typeof wanted)[number];
        const spread = Math.log(Math.max(answer.variance, 1e-30) / variance);
        return Math.min(9, spread ** 2 / 2 + (answer.mean - centre) ** 2 / variance);
      }),
    );
  const asShown = answersOf(patches, kernels);
  const present = misfit(asShown);
  const judged = (other: number, least: number) => {
    const improved = present / Math.max(other, 1e-6);
    return { improved, off: present > surelyOff && other < 2 * fitting && improved >= least };
  };

  const logs = asShown
    .map(
      ({ variance }, index) => Math.log((wanted[index]?.variance as number) / Math.max(variance, 1e-30)) / 2,
    )
    .sort((a, b) => a - b);
  const scale = Math.exp(logs[logs.length >> 1] as number);
  const sums = kernels.map((kernel) => sumOf(kernel));
  let [both, square] = [0, 0];
  asShown.forEach((answer, index) => {
    const { mean: centre, variance } = wanted[index] as (typeof wanted)[number];
    both += ((centre - scale * answer.mean) * (sums[index] as number)) / variance;
    square += (sums[index] as number) ** 2 / variance;
  });
  const shift = square > 0 ? both / square : 0;
  const deviation = deviationOf(patches);
  const offset = shift / Math.max(scale * deviation, 1e-30);
  const rescaled = judged(
    misfit(
      asShown.map((answer, index) => ({
        mean: scale * answer.mean + shift * (sums[index] as number),
        variance: scale ** 2 * answer.variance,
      })),
    ),
    factor,
  );
  const far = Math.abs(Math.log(scale)) > Math.log(scaleLimit) || Math.abs(offset) > offsetLimit;

  const asIs = { channels: Array.from({ length: channels }, (_, channel) => channel), axes: [0, 1, 2] };
  const size = [channels, ...edges] as const;
  const misfitIn = (order: { channels: readonly number[]; axes: readonly number[] }) =>
    misfit(
      answersOf(
        patches,
        kernels.map((kernel) => rearranged(kernel, size, order)),
      ),
    );
  const best = <Order>(all: readonly Order[], of: (order: Order) => number) =>
    all.map((order) => ({ order, misfit: of(order) })).sort((a, b) => a.misfit - b.misfit)[0];
  const ofChannels = best(
    [...permutations(channels)].filter((order) => order.some((channel, index) => channel !== index)),
    (order) => misfitIn({ ...asIs, channels: order }),
  );
  const ofAxes = best(
    orders.filter((order) => order.every((axis, index) => edges[axis] === edges[index])),
    (order) => misfitIn({ ...asIs, axes: order }),
  );
  const ordered = (other: number) => ({
    ...judged(other, orderFactor),
    told: present < fitting && other >= orderFactor * Math.max(present, surelyOff / 2),
  });
  return {
    fits: present < fitting,
    intensities: { scale, offset, improved: rescaled.improved, off: far && rescaled.off },
    channels: ofChannels ? { order: ofChannels.order, ...ordered(ofChannels.misfit) } : null,
    axes: ofAxes ? { order: ofAxes.order, ...ordered(ofAxes.misfit) } : null,
  };
}

/** Of all that the patches hold. */
function deviationOf(patches: readonly Float64Array[]): number {
  let [count, sum, square] = [0, 0, 0];
  for (const patch of patches)
    for (const value of patch) {
      count++;
      sum += value;
      square += value * value;
    }
  return Math.sqrt(Math.max(0, square / count - (sum / count) ** 2));
}
