import { z } from "zod";
import { sumOf } from "../../common/numbers.js";
import { section } from "../../common/validation.js";
import type { UNetSpec } from "../../native/network-spec.js";
import type { SpecialisedArchitecture } from "./architecture.js";
import { nothing, type Size } from "./size.js";
import { levels, size } from "./sizes.js";

type Levels = Pick<UNetSpec, "channels" | "features" | "levels">;

export function uNetCost({ channels, features, levels }: Levels, voxels: number): number {
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

export function uNetSize({ channels, features, levels }: Levels, voxels: number): Size {
  const widths = Array.from({ length: levels }, (_, level) => features * 2 ** level);
  return {
    ...nothing,
    parameters: 27 * sumOf(widths.map((width) => 6 * width ** 2)),
    // Two convolutions down and two up, each with its norm and activation, and the joined features.
    kept: sumOf(widths.map((width, level) => (14 * width * voxels) / 8 ** level)) + channels * voxels,
    transient: 4 * features * voxels,
  };
}

/** A 3D U-Net (Çiçek et al. 2016); channels, outputs and the scale of the depth follow from the task. */
export const uNet = {
  family: "unet-3d",
  schema: section({ family: z.literal("unet-3d"), features: size, levels }),
  presets: {
    /** The size in common use: nnU-Net's 32 features at the first of five levels. */
    "unet-3d": { family: "unet-3d", features: 32, levels: 5 },
    "unet-3d-demo": { family: "unet-3d", features: 8, levels: 3 },
  },
  answers: "voxels",
  doublesDepth: true,
  denoises: false,
  batchNorm: false,
  complete: (sizes: Pick<UNetSpec, "family" | "features" | "levels">, { channels, outputs, depthScale }) => ({
    ...sizes,
    channels,
    outputs,
    depthScale,
  }),
  cost: uNetCost,
  size: uNetSize,
} as const satisfies SpecialisedArchitecture<UNetSpec>;
