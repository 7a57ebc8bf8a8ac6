import type { EncoderSpec } from "../native/network-spec.js";
import { encoderArchitectures, specialisedArchitectures } from "./architectures/index.js";

/** Encoders by name: those of each family, at a published size and at one for two CPU cores. */
export const encoders = {
  ...encoderArchitectures["convnext-v2-3d"].presets,
  ...encoderArchitectures["resnet-3d"].presets,
  ...encoderArchitectures["dino-vit"].presets,
  ...encoderArchitectures.torchscript.presets,
} as const satisfies Record<string, Readonly<EncoderSpec>>;

export type EncoderName = keyof typeof encoders;

/** Specialised models by name: those of each family, at a full size and at one for two CPU cores (`-demo`). */
export const specialisedModels = {
  ...specialisedArchitectures["resnet-3d"].presets,
  ...specialisedArchitectures["unet-3d"].presets,
  ...specialisedArchitectures["transunet-3d"].presets,
  ...specialisedArchitectures["vit-3d"].presets,
  ...specialisedArchitectures["diffusion-unet-3d"].presets,
} as const;

export type SpecialisedName = keyof typeof specialisedModels;

export const encoderNames = Object.keys(encoders) as [EncoderName, ...EncoderName[]];
export const specialisedNames = Object.keys(specialisedModels) as [SpecialisedName, ...SpecialisedName[]];
