import { z } from "zod";
import { sumOf } from "../../common/numbers.js";
import { section } from "../../common/validation.js";
import type { EncoderSpec, HeadSpec } from "../../native/network-spec.js";
import { architectureOf } from "../architectures/index.js";
import { nothing, type Size } from "../architectures/size.js";
import { size } from "../architectures/sizes.js";
import type { HeadKind } from "./head.js";

const publishedFeatures = 16;

/** Residual blocks of `width` features at full size. */
export const fullSizeCost = (voxels: number, width = publishedFeatures): number =>
  27 * voxels * width ** 2 * 5;

export const fullSizeSize = (encoder: EncoderSpec, voxels: number, width = publishedFeatures): Size => ({
  ...nothing,
  parameters: 27 * width * sumOf(architectureOf(encoder).widths(encoder)) * 8,
  // Four residual blocks at full size, and as much again at all coarser ones.
  kept: 40 * width * voxels,
  transient: 6 * width * voxels,
});

/** UNETR (Hatamizadeh et al. 2022): sees the input at its full resolution, on every family. */
export const unetr = {
  kind: "unetr",
  schema: section({ kind: z.literal("unetr"), outputs: size, featureSize: size.optional() }),
  batchNorm: () => false,
  cost({ featureSize = publishedFeatures }, encoder, voxels) {
    const { slices, widths } = architectureOf(encoder);
    if (!slices) return fullSizeCost(voxels, featureSize);
    // Slice by slice the coarser levels keep the depth, and tokens are spread over each of them.
    return voxels * featureSize * (27 * 13 * featureSize + sumOf(widths(encoder)));
  },
  size: ({ featureSize }, encoder, voxels) => fullSizeSize(encoder, voxels, featureSize),
} as const satisfies HeadKind<Extract<HeadSpec, { kind: "unetr" }>>;
