import { z } from "zod";
import { section } from "../../common/validation.js";
import type { DiffusionUNetSpec } from "../../native/network-spec.js";
import type { SpecialisedArchitecture } from "./architecture.js";
import { together } from "./size.js";
import { levels, size } from "./sizes.js";
import { uNetSize } from "./unet-3d.js";
import { coarser, convolution, norm, paddedTo, pass, product, volumeOf, type Work } from "./work.js";

/** A residual block whose norms come first, and which is told the time between its convolutions. */
const timedBlock = (positions: number, into: number, out: number, time: number): Work => [
  norm(positions, into),
  convolution(positions, into, out, 27),
  product(1, time, out),
  pass(2 * positions * out, 2),
  norm(positions, out),
  convolution(positions, out, out, 27),
  ...(into === out ? [] : [convolution(positions, into, out, 1)]),
  pass(3 * positions * out),
];

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
  work({ channels, outputs, features, levels }, extents) {
    const finest = paddedTo(extents, 2 ** (levels - 1));
    const at = (level: number) => volumeOf(coarser(finest, 2 ** level));
    const width = (level: number) => features * 2 ** level;
    const timed = (level: number, into: number) => timedBlock(at(level), into, width(level), 4 * features);
    const all = Array.from({ length: levels }, (_, level) => level);
    return [
      product(1, features, 4 * features),
      product(1, 4 * features, 4 * features),
      pass(2 * at(0) * (channels - 1)),
      convolution(at(0), channels - 1, features, 27),
      ...all.flatMap((level) =>
        level === 0
          ? timed(0, features)
          : [
              convolution(at(level), width(level - 1), width(level - 1), 27, at(level - 1)),
              ...timed(level, width(level - 1)),
            ],
      ),
      ...timed(levels - 1, width(levels - 1)),
      ...all
        .slice(0, -1)
        .flatMap((level) => [
          pass(1.125 * at(level) * width(level + 1)),
          convolution(at(level), width(level + 1), width(level), 27),
          pass(4 * at(level) * width(level)),
          ...timed(level, 2 * width(level)),
        ]),
      norm(at(0), features),
      convolution(at(0), features, outputs, 1),
      pass(2 * at(0) * outputs),
    ];
  },
  /** Two residual blocks where the U-Net has two convolutions, each with its embedding of the time. */
  size: (spec, voxels) => together(uNetSize(spec, voxels), uNetSize(spec, voxels)),
} as const satisfies SpecialisedArchitecture<DiffusionUNetSpec>;
