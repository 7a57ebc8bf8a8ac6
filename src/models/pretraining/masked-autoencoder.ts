import type { CaseVolumes } from "../../cohort/case-volumes.js";
import type { RandomStream } from "../../common/random.js";
import { Tensor } from "../../native/tensor.js";
import type { LossSpec } from "../../native/trainer.js";
import { type Sees, seenOfProstate } from "./sees.js";

/**
 * Masked-autoencoder pretraining (He et al. 2022; for ConvNeXt V2, Woo et al. 2023): a share of the patches is hidden
 * from the encoder, and a light decoder predicts their voxels. Which patches, and which volumes stand in which channel,
 * is decided here; hiding and predicting is the network's.
 */
export const maskedAutoencoderLoss = (normaliseTargets: boolean): LossSpec => ({
  kind: "masked-autoencoder",
  normaliseTargets,
});

/** Patches along each axis of a volume [D, H, W]: the network pads what does not divide. */
export const patchGrid = (shape: readonly number[], patch: number): number[] =>
  shape.map((extent) => Math.ceil(extent / patch));

/** Hides `ratio` of the patches, at least one; where there are several, at least one stays. 1 = hidden. */
export function drawMask(patches: number, ratio: number, draw: RandomStream): Uint8Array {
  const hidden = Math.max(1, Math.min(patches - 1, Math.round(ratio * patches)));
  const order = draw.shuffle(Array.from({ length: patches }, (_, patch) => patch));
  const mask = new Uint8Array(patches);
  for (const patch of order.slice(0, hidden)) mask[patch] = 1;
  return mask;
}

/**
 * The input [channels, D, H, W] that a case shows while pretraining: its images in turn, and in place of one that it lacks
 * the reference.
 */
export async function pretrainingInput(
  volumes: CaseVolumes,
  channels: number,
  images: Sees["images"] = seenOfProstate.images,
): Promise<Tensor> {
  const roles = Array.from({ length: channels }, (_, channel) => {
    const role = images[channel % images.length] as string;
    return volumes.roles.includes(role) ? role : images[0];
  });
  const distinct = [...new Set(roles)];
  const loaded: Tensor[] = [];
  try {
    for (const role of distinct) loaded.push(await volumes.load(role));
    return await Tensor.gather(
      loaded,
      roles.map((role) => distinct.indexOf(role)),
    );
  } finally {
    for (const tensor of loaded) tensor.dispose();
  }
}

/**
 * A batch: the inputs [N, C, D, H, W] of some cases, and for each a mask of its own, uint8 [N, patches].
 * `draws[i]` is the stream from which the mask of case i is drawn.
 */
export async function maskedBatch(
  cases: readonly CaseVolumes[],
  draws: readonly RandomStream[],
  options: { channels: number; patch: number; maskRatio: number; device: string; images?: Sees["images"] },
): Promise<{ input: Tensor; target: Tensor }> {
  const inputs: Tensor[] = [];
  try {
    for (const volumes of cases)
      inputs.push(await pretrainingInput(volumes, options.channels, options.images));
    const shape = (inputs[0] as Tensor).shape.slice(1);
    const patches = patchGrid(shape, options.patch).reduce((product, count) => product * count, 1);
    const masks = new Uint8Array(cases.length * patches);
    draws.forEach((draw, index) => {
      masks.set(drawMask(patches, options.maskRatio, draw), index * patches);
    });
    const input = await Tensor.gather(
      inputs,
      inputs.map((_, index) => index),
    );
    return { input, target: Tensor.from(masks, [cases.length, patches], options.device) };
  } finally {
    for (const tensor of inputs) tensor.dispose();
  }
}
