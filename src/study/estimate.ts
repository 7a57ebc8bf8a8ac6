import type { ConvNeXtSpec, DinoVitSpec, EncoderSpec, NetworkSpec } from "../native/network-spec.js";
import { resNetCost, specialisedCost } from "./specialised-cost.js";

/** Hours as a person reads them: `0.42`, `57,723`. */
export const hoursInWords = (hours: number): string =>
  hours >= 100 ? Math.round(hours).toLocaleString("en-US") : hours.toPrecision(2);

/** More multiplications a second than any core does: two AVX-512 units at 3 GHz. */
const mostPerCore = 1e11;

/** Hours that work of this cost takes at the least on so many cores; what it really takes is several times as much. */
export const leastHours = (cost: number, cores: number): number => cost / (mostPerCore * cores) / 3600;

/**
 * Roughly how many multiplications a network's answer to one input of `voxels` (height x width x depth, after the
 * task) takes. It orders cells, estimates the time left and says what is work for a GPU, nothing else.
 */
export function forwardCost(spec: NetworkSpec, voxels: number): number {
  if ("model" in spec) return specialisedCost(spec.model, voxels);
  return encoderCost(spec.encoder, voxels) + headCost(spec, voxels);
}

/** Positions of stage `index`: the stem divides each axis by 4, then twice by 2, then not at all. */
const positions = (voxels: number, index: number): number => voxels / 64 / 8 ** Math.min(index, 2);

function encoderCost(encoder: EncoderSpec, voxels: number): number {
  switch (encoder.family) {
    case "convnext-v2-3d":
      return convolutionalCost(encoder, voxels);
    case "resnet-3d":
      return resNetCost(encoder.channels, encoder.features, encoder.blocks, voxels);
    case "dino-vit":
      return transformerCost(encoder, voxels);
  }
}

/** Every slice's patches through the embedding and the linear layers; attention between them is left out. */
function transformerCost({ channels, patch, embedDim, depth }: DinoVitSpec, voxels: number): number {
  return voxels * channels * embedDim + (voxels / patch ** 2) * depth * 12 * embedDim ** 2;
}

function convolutionalCost(encoder: ConvNeXtSpec, voxels: number): number {
  let cost = voxels * encoder.channels * (encoder.dims[0] as number);
  encoder.depths.forEach((depth, index) => {
    const dim = encoder.dims[index] as number;
    cost += depth * positions(voxels, index) * (343 * dim + 8 * dim ** 2);
  });
  return cost;
}

function headCost({ encoder, head }: Extract<NetworkSpec, { encoder: unknown }>, voxels: number): number {
  switch (head?.kind) {
    case undefined:
    case "classifier":
      return 0;
    case "upernet":
      // Three convolutions 3x3x3 of `hidden` at the finest stage and the fusion of four.
      return 27 * positions(voxels, 0) * (head.hidden ?? 512) ** 2 * 6;
    case "unetr":
      // Slice by slice the coarser levels keep the depth, and tokens are spread over each of them.
      if (encoder.family === "dino-vit") {
        const size = head.featureSize ?? 16;
        return voxels * size * (27 * 13 * size + encoder.embedDim);
      }
      return 27 * voxels * (head.featureSize ?? 16) ** 2 * 5;
    case "subpixel":
      return 27 * voxels * (head.featureSize ?? 16) ** 2 * 5;
    case "conv1":
    case "contrastive": {
      if (encoder.family !== "dino-vit") return 0;
      // Convolutions 3x3 at 2, 4 and 8 times the grid of patches.
      const patches = voxels / encoder.patch ** 2;
      const width = head.kind === "conv1" ? (head.width ?? 16) : 16;
      return patches * 9 * (32 * width * encoder.embedDim + 512 * width ** 2 + 256 * width * head.outputs);
    }
    case "masked-autoencoder": {
      const dim = head.decoderDim ?? 512;
      const patches = voxels / 4096;
      return patches * dim * ((head.decoderDepth ?? 1) * (343 + 8 * dim) + 4096 * encoder.channels);
    }
  }
}
