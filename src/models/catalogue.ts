import type { EncoderSpec } from "../native/network.js";

/**
 * Encoders by name. `profound-tiny` is the published size (ConvNeXt V2 Tiny in 3D, three channels);
 * `profound-demo` is the same architecture small enough to pretrain on two CPU cores in a minute. `provicnet-small` is
 * the published ViT-S/14 over slices, each seen with its two neighbours.
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
} as const satisfies Record<string, Readonly<EncoderSpec>>;

export type EncoderName = keyof typeof encoders;

/**
 * Specialised models by name. `unet-3d` is the size in common use (nnU-Net's 32 features at the first of five
 * levels); `unet-3d-demo` is small.
 */
export const specialisedModels = {
  "unet-3d": { family: "unet-3d", features: 32, levels: 5 },
  "unet-3d-demo": { family: "unet-3d", features: 8, levels: 3 },
} as const;

export type SpecialisedName = keyof typeof specialisedModels;

export const encoderNames = Object.keys(encoders) as [EncoderName, ...EncoderName[]];
export const specialisedNames = Object.keys(specialisedModels) as [SpecialisedName, ...SpecialisedName[]];
