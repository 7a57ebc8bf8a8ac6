import { TransferLimitsError } from "../../common/errors.js";
import { average } from "../../common/numbers.js";
import type { PlacedNetwork } from "../../native/placed-network.js";
import { Tensor } from "../../native/tensor.js";
import { type FidelityCheck, flagged, sound } from "./check.js";
import { lengthOf, short } from "./numbers.js";

/** Features of a root mean square above this exploded, and maxima over positions of one ten times as large. */
const largest = 100;
const outlying = 10;
/** A difference from the features of an image that shows nothing, and between cases, below which they are one and the same. */
const leastResponse = 1e-3;
const leastSpread = 1e-5;
/** A difference from them that is no more than rounding: the image does not reach the features at all. */
const rounding = 1e-6;

/** An input [C, D, H, W] of a case. */
export interface ShownInput {
  values: Float32Array;
  shape: readonly [number, number, number, number];
}

interface Embedded {
  pooled: Float32Array;
  /** Root mean squares of the pooled features, and of what the encoder says along the way, as a share of what is still in order there. */
  sizes: number[];
}

async function embed(network: PlacedNetwork, { values, shape }: ShownInput): Promise<Embedded> {
  using input = Tensor.from(values, [1, ...shape], network.device);
  using features = await network.embedAlong(input);
  const sizeOf = async (tensor: Tensor) => {
    const all = (await tensor.toArray()) as Float32Array;
    return lengthOf(all) / Math.sqrt(all.length);
  };
  const pooled = Float32Array.from((await features.pooled.toArray()) as Float32Array);
  const sizes = [lengthOf(pooled) / Math.sqrt(pooled.length)];
  for (const { mean: over, maximum } of features.along)
    sizes.push(await sizeOf(over), (await sizeOf(maximum)) / outlying);
  return { pooled, sizes };
}

/** The same input with nothing on it: each channel is its mean. */
function blankOf({ values, shape }: ShownInput): ShownInput {
  const [channels] = shape;
  const size = values.length / channels;
  const blank = new Float32Array(values.length);
  for (let channel = 0; channel < channels; channel++) {
    const from = channel * size;
    let sum = 0;
    for (let index = from; index < from + size; index++) sum += values[index] as number;
    blank.fill(sum / size, from, from + size);
  }
  return { values: blank, shape };
}

const distance = (a: Float32Array, b: Float32Array): number =>
  lengthOf(a.map((value, index) => value - (b[index] as number)));

/**
 * Collapsed or exploding features.
 *
 * @param pretrained by this package: features that nearly collapsed are what its pretraining came to, which is told, and the
 *   study goes on; of weights from elsewhere they are a sign that something is wrong with them
 */
export async function checkFeatures(
  network: PlacedNetwork,
  inputs: readonly ShownInput[],
  pretrained: boolean,
): Promise<FidelityCheck> {
  try {
    return await measured(network, inputs, pretrained);
  } catch (error) {
    // A module from a file is asked for finite features before anything else sees them.
    if (!(error instanceof TransferLimitsError) || error.code !== "NOT_FINITE") throw error;
    return notFinite(error.message);
  }
}

const notFinite = (words: string): FidelityCheck => flagged("features", words, { size: null }, true);

async function measured(
  network: PlacedNetwork,
  inputs: readonly ShownInput[],
  pretrained: boolean,
): Promise<FidelityCheck> {
  const name = "features";
  const embedded: Embedded[] = [];
  for (const input of inputs) embedded.push(await embed(network, input));
  const [first] = embedded as [Embedded];
  const size = Math.max(...embedded.flatMap(({ sizes }) => sizes));
  if (embedded.some(({ sizes }) => sizes.some((one) => !Number.isFinite(one))))
    return notFinite("Its features hold numbers that are not finite.");
  if (size > largest)
    return flagged(
      name,
      `Its features grow to a root mean square of ${short(size)}, where those of a trained encoder stay below ${largest}: is a norm missing, or without statistics?`,
      { size },
      true,
    );
  const blank = await embed(network, blankOf(inputs[0] as ShownInput));
  const scale = average(embedded.map(({ pooled }) => lengthOf(pooled)));
  const response = scale === 0 ? 0 : distance(first.pooled, blank.pooled) / scale;
  const centre = first.pooled.map((_, feature) =>
    average(embedded.map(({ pooled }) => pooled[feature] as number)),
  );
  const between =
    embedded.length < 2
      ? null
      : scale === 0
        ? 0
        : Math.sqrt(average(embedded.map(({ pooled }) => distance(pooled, centre) ** 2))) / scale;
  const numbers = { size, response, between };
  if (!(response >= leastResponse) || (between !== null && !(between >= leastSpread)))
    return flagged(
      name,
      `Its features of a case differ by ${short(response)} of their length from those of an image that shows nothing` +
        `${between === null ? "" : `, and between cases by ${short(between)}`}: they have collapsed.`,
      numbers,
      !pretrained || !(response >= rounding),
    );
  return sound(
    name,
    `Root mean squares up to ${short(size)}; they differ by ${short(response)} of their length from those of an image that shows nothing` +
      `${between === null ? "." : `, and by ${short(between)} between cases.`}`,
    numbers,
  );
}
