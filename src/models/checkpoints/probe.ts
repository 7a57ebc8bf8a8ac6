import { randomStream } from "../../common/random.js";
import type { EncoderSpec } from "../../native/network-spec.js";
import type { PlacedNetwork } from "../../native/placed-network.js";
import { Tensor } from "../../native/tensor.js";
import { architectureOf, comesFromFile } from "../architectures/index.js";

/** Edge of the probe volume in voxels, the same along each axis, so that it can be turned. */
const edge = 32;
/** So many features are kept with a file of weights, evenly spaced over all. */
const kept = 32;

/** An order of the axes depth, height and width: `[2, 1, 0]` swaps depth and width. */
export type AxisOrder = readonly [number, number, number];

/** What was drawn for so many channels: weights are probed before and after they are taken over. */
const drawn = new Map<number, Float64Array>();

function drawFor(channels: number): Float64Array {
  const before = drawn.get(channels);
  if (before) return before;
  const draw = randomStream(0, "probe volume");
  const values = Float64Array.from({ length: channels * edge ** 3 }, () => draw.normal());
  drawn.set(channels, values);
  return values;
}

/**
 * A fixed volume [1, C, 32, 32, 32] of irregular numbers, the same on every machine, that looks different along each
 * axis. `order` says which of its axes stands where. An encoder that goes slice by slice takes one channel.
 */
export function probeVolume(encoder: EncoderSpec, order: AxisOrder = [0, 1, 2], device = "cpu"): Tensor {
  const channels = architectureOf(encoder).slices ? 1 : encoder.channels;
  const values = drawFor(channels);
  const turned = new Float32Array(values.length);
  const steps = [edge ** 2, edge, 1] as const;
  const [depth, height, width] = order.map((axis) => steps[axis] as number) as [number, number, number];
  let at = 0;
  for (let channel = 0; channel < channels; channel++)
    for (let d = 0; d < edge; d++)
      for (let h = 0; h < edge; h++)
        for (let w = 0; w < edge; w++)
          turned[at++] = values[channel * edge ** 3 + d * depth + h * height + w * width] as number;
  return Tensor.from(turned, [1, channels, edge, edge, edge], device);
}

/** A network's pooled features of the probe volume; null for a network that has no encoder, or one from a TorchScript file. */
export async function probeFeatures(network: PlacedNetwork, order?: AxisOrder): Promise<number[] | null> {
  // A module from a file may take no other size than its own.
  if (!("encoder" in network.spec) || comesFromFile(network.spec.encoder)) return null;
  using volume = probeVolume(network.spec.encoder, order, network.device);
  const { pooled, stages } = await network.embed(volume);
  for (const stage of stages) stage.dispose();
  using features = pooled;
  return Array.from((await features.toArray()) as Float32Array);
}

/** How far `b` is from `a`: the length of their difference, over the length of `a`. */
export function relativeChange(a: readonly number[], b: readonly number[]): number {
  const length = (values: readonly number[]) => Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0));
  const difference = length(a.map((value, index) => value - (b[index] as number)));
  return difference === 0 ? 0 : difference / length(a);
}

/** The features that are kept with a file of weights, so that whoever loads it can tell that it is unharmed. */
export const sampleOf = (features: readonly number[]): number[] =>
  Array.from(
    { length: Math.min(kept, features.length) },
    (_, index) => features[Math.floor((index * features.length) / Math.min(kept, features.length))] as number,
  );
