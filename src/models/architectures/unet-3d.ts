import { z } from "zod";
import { sumOf } from "../../common/numbers.js";
import { section } from "../../common/validation.js";
import type { UNetSpec } from "../../native/network-spec.js";
import type { SpecialisedArchitecture } from "./architecture.js";
import { nothing, type Size } from "./size.js";
import { levels, size } from "./sizes.js";
import {
  coarser,
  convolution,
  type Extents,
  paddedTo,
  pass,
  residualBlock,
  upBlock,
  volumeOf,
  type Work,
} from "./work.js";

type Levels = Pick<UNetSpec, "channels" | "features" | "levels">;

/** What every network of this shape has; `atCoarsest` adds what stands below. */
export function uNetWork(
  { channels, outputs, features, levels }: Levels & { outputs: number },
  extents: Extents,
  atCoarsest: (coarsest: Extents, width: number) => Work = () => [],
): Work {
  const finest = paddedTo(extents, 2 ** (levels - 1));
  const grid = (level: number) => coarser(finest, 2 ** level);
  const at = (level: number) => volumeOf(grid(level));
  const width = (level: number) => features * 2 ** level;
  const all = Array.from({ length: levels }, (_, level) => level);
  return [
    pass(2 * at(0) * channels),
    ...all.flatMap((level) =>
      level === 0
        ? residualBlock(at(0), channels, features)
        : [
            pass((at(level - 1) + at(level)) * width(level - 1)),
            ...residualBlock(at(level), width(level - 1), width(level)),
          ],
    ),
    ...atCoarsest(grid(levels - 1), width(levels - 1)),
    ...all.slice(0, -1).flatMap((level) => upBlock(at(level), width(level + 1), width(level))),
    convolution(at(0), features, outputs, 1),
    pass(2 * at(0) * outputs),
  ];
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
  work: ({ depthScale = 1, ...spec }, extents) =>
    uNetWork({ ...spec, outputs: depthScale * spec.outputs }, extents),
  size: uNetSize,
} as const satisfies SpecialisedArchitecture<UNetSpec>;
