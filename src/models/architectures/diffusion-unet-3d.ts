import { z } from "zod";
import { section } from "../../common/validation.js";
import type { DiffusionUNetSpec } from "../../native/network-spec.js";
import type { SpecialisedArchitecture } from "./architecture.js";
import { together } from "./size.js";
import { levels, size } from "./sizes.js";
import { uNetSize } from "./unet-3d.js";

/** The U-Net of denoising diffusion (Ho et al. 2020) in 3D. */
export const diffusionUNet = {
  family: "diffusion-unet-3d",
  schema: section({
    family: z.literal("diffusion-unet-3d"),
    features: size.refine((features) => features % 2 === 0, "expected an even number"),
    levels,
  }),
  presets: {
    /** Half the published 128 features, as it works on volumes. */
    "ddpm-unet": { family: "diffusion-unet-3d", features: 64, levels: 4 },
    "ddpm-unet-demo": { family: "diffusion-unet-3d", features: 8, levels: 3 },
  },
  answers: "voxels",
  doublesDepth: false,
  denoises: true,
  batchNorm: false,
  complete: (sizes: Omit<DiffusionUNetSpec, "channels" | "outputs">, { channels, outputs }) => ({
    ...sizes,
    channels,
    outputs,
  }),
  cost({ channels, features, levels }, voxels) {
    let cost = 27 * voxels * (channels - 1) * features;
    for (let level = 0; level < levels; level++) {
      // As of a U-Net. Down: the convolution that shrinks (from half the features to as many), one from half with its
      // shortcut, one. Up, but at the coarsest: one from twice the features, one from the two joined with its shortcut,
      // one. At the coarsest: two.
      const down = level === 0 ? 2 * 27 : 27 / 4 + 28 / 2 + 27;
      const up = level === levels - 1 ? 2 * 27 : 2 * 27 + 28 * 2 + 27;
      cost += (voxels / 8 ** level) * (features * 2 ** level) ** 2 * (down + up);
    }
    return cost;
  },
  /** Two residual blocks where the U-Net has two convolutions, each with its embedding of the time. */
  size: (spec, voxels) => together(uNetSize(spec, voxels), uNetSize(spec, voxels)),
} as const satisfies SpecialisedArchitecture<DiffusionUNetSpec>;
