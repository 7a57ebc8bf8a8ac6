import type { TaskKind } from "../common/vocabulary.js";
import type { EncoderSpec } from "../native/network-spec.js";

/**
 * Encoders by name. `profound-tiny` is the published size (ConvNeXt V2 Tiny in 3D, three channels);
 * `profound-demo` is the same architecture small enough to pretrain on two CPU cores in a minute. `provicnet-small` is
 * the published ViT-S/14 over slices, each seen with its two neighbours; `provicnet-demo` is that architecture for two
 * CPU cores, with patches of 8 pixels: the `conv1` head enlarges by 8, so its logits have the slice's own size.
 * `resnet-50-encoder` is ResNet-50 in 3D, whose names and shapes MedicalNet's weights have; `resnet-demo-encoder` is
 * that architecture for two CPU cores.
 */
export const encoders = {
  "profound-tiny": {
    family: "convnext-v2-3d",
    channels: 3,
    depths: [3, 3, 9, 3],
    dims: [96, 192, 384, 768],
  },
  "profound-demo": {
    family: "convnext-v2-3d",
    channels: 3,
    depths: [1, 1, 2, 1],
    dims: [16, 32, 64, 128],
  },
  "resnet-50-encoder": { family: "resnet-3d", channels: 3, features: 64, blocks: [3, 4, 6, 3] },
  "resnet-demo-encoder": { family: "resnet-3d", channels: 3, features: 8, blocks: [1, 1, 1, 1] },
  "provicnet-small": {
    family: "dino-vit",
    channels: 3,
    patch: 14,
    embedDim: 384,
    depth: 12,
    heads: 6,
    registers: 4,
    axisTokens: 2,
  },
  "provicnet-demo": {
    family: "dino-vit",
    channels: 3,
    patch: 8,
    embedDim: 48,
    depth: 4,
    heads: 3,
    registers: 4,
    axisTokens: 2,
  },
} as const satisfies Record<string, Readonly<EncoderSpec>>;

export type EncoderName = keyof typeof encoders;

/**
 * Specialised models by name, each at a full size and at one for two CPU cores (`-demo`). The full sizes: `resnet-50`
 * has the published blocks; `unet-3d` is the size in common use (nnU-Net's 32 features at the first of five levels);
 * `transunet-3d` and `vit-3d` have the transformer of ViT-B (768 features, 12 blocks, 12 heads); `ddpm-unet` has half
 * the published 128 features, for it works on volumes.
 */
export const specialisedModels = {
  "resnet-50": { family: "resnet-3d", features: 64, blocks: [3, 4, 6, 3] },
  "resnet-demo": { family: "resnet-3d", features: 8, blocks: [1, 1, 1, 1] },
  "unet-3d": { family: "unet-3d", features: 32, levels: 5 },
  "unet-3d-demo": { family: "unet-3d", features: 8, levels: 3 },
  "transunet-3d": { family: "transunet-3d", features: 48, levels: 5, depth: 12, heads: 12 },
  "transunet-demo": { family: "transunet-3d", features: 8, levels: 3, depth: 2, heads: 4 },
  "vit-3d": { family: "vit-3d", patch: [8, 16, 16], embedDim: 768, depth: 12, heads: 12 },
  "vit-demo": { family: "vit-3d", patch: [4, 8, 8], embedDim: 64, depth: 2, heads: 4 },
  "ddpm-unet": { family: "diffusion-unet-3d", features: 64, levels: 4 },
  "ddpm-unet-demo": { family: "diffusion-unet-3d", features: 8, levels: 3 },
} as const;

export type SpecialisedName = keyof typeof specialisedModels;

/** The specialised model that the paper sets beside the foundation models, by task. */
export const specialisedOfPaper = {
  "pirads-classification": "resnet-50",
  "lesion-segmentation": "unet-3d",
  "super-resolution": "transunet-3d",
  "distortion-correction": "vit-3d",
  "modality-translation": "ddpm-unet",
} as const satisfies Record<TaskKind, SpecialisedName>;

export const encoderNames = Object.keys(encoders) as [EncoderName, ...EncoderName[]];
export const specialisedNames = Object.keys(specialisedModels) as [SpecialisedName, ...SpecialisedName[]];
