import type { ModelSpec } from "../native/network-spec.js";

/**
 * Roughly how many multiplications a specialised model's answer to one input of `voxels` takes: its convolutions, linear
 * layers and attention.
 */
export function specialisedCost(model: ModelSpec, voxels: number): number {
  switch (model.family) {
    case "resnet-3d":
      return resNetCost(model.channels, model.features, model.blocks, voxels);
    case "unet-3d":
      return uNetCost(model.channels, model.features, model.levels, voxels);
    case "transunet-3d": {
      const { channels, features, levels, depth } = model;
      const width = features * 2 ** (levels - 1);
      const tokens = voxels / 8 ** (levels - 1);
      // Beside the transformer, the tokens' embedding and two convolutions on the way to the decoder.
      const around = tokens * (1 + 2 * 27) * width ** 2;
      return uNetCost(channels, features, levels, voxels) + around + transformerCost(tokens, width, depth);
    }
    case "vit-3d": {
      const { channels, outputs, patch, embedDim, depth } = model;
      const tokens = voxels / (patch[0] * patch[1] * patch[2]);
      return voxels * (channels + outputs) * embedDim + transformerCost(tokens, embedDim, depth);
    }
    case "diffusion-unet-3d":
      return diffusionCost(model.channels, model.features, model.levels, voxels);
  }
}

function uNetCost(channels: number, features: number, levels: number, voxels: number): number {
  let cost = 28 * channels * features * voxels;
  for (let level = 0; level < levels; level++) {
    // In products of a level's features with themselves, 27 of them a convolution 3x3x3. Down: one convolution from half
    // the features (but at the finest), with its shortcut, and one. Up, but at the coarsest: the transposed convolution
    // from twice the features, one convolution from the two joined (twice) with its shortcut, and one.
    const down = (level === 0 ? 0 : 28 / 2) + 27;
    const up = level === levels - 1 ? 0 : 2 + 28 * 2 + 27;
    cost += (voxels / 8 ** level) * (features * 2 ** level) ** 2 * (down + up);
  }
  return cost;
}

/** The linear layers of each block, 4 of attention and 8 of the perceptron, and the attention between all tokens. */
const transformerCost = (tokens: number, width: number, depth: number): number =>
  depth * (12 * tokens * width ** 2 + 2 * tokens ** 2 * width);

function diffusionCost(channels: number, features: number, levels: number, voxels: number): number {
  let cost = 27 * voxels * (channels - 1) * features;
  for (let level = 0; level < levels; level++) {
    // As above. Down: the convolution that shrinks (from half the features to as many), one from half with its shortcut,
    // one. Up, but at the coarsest: one from twice the features, one from the two joined with its shortcut, one. At the
    // coarsest: two.
    const down = level === 0 ? 2 * 27 : 27 / 4 + 28 / 2 + 27;
    const up = level === levels - 1 ? 2 * 27 : 2 * 27 + 28 * 2 + 27;
    cost += (voxels / 8 ** level) * (features * 2 ** level) ** 2 * (down + up);
  }
  return cost;
}

/** The stem 7x7x7 at half the size; then bottlenecks: 1x1x1 to a quarter of the channels, 3x3x3, and 1x1x1 back. */
export function resNetCost(
  channels: number,
  features: number,
  blocks: readonly number[],
  voxels: number,
): number {
  let cost = (343 * channels * features * voxels) / 8;
  blocks.forEach((count, stage) => {
    // The first block comes from a stage of half the width, whose first layer still works at the finer size, and has a
    // shortcut; the first stage comes from the stem.
    const first = stage === 0 ? 1 + 27 + 4 + 4 : 8 * 2 + 27 + 4 + 8;
    const later = 4 + 27 + 4;
    cost += ((first + (count - 1) * later) * (features * 2 ** stage) ** 2 * voxels) / 64 / 8 ** stage;
  });
  return cost;
}
