import { z } from "zod";
import { sumOf } from "../../common/numbers.js";
import { section } from "../../common/validation.js";
import type { EncoderSpec, HeadSpec } from "../../native/network-spec.js";
import { architectureOf } from "../architectures/index.js";
import { nothing, type Size } from "../architectures/size.js";
import { size } from "../architectures/sizes.js";
import { type HeadKind, patchesOf } from "./head.js";

const publishedWidth = 16;

/** Convolutions 3x3 at 2, 4 and 8 times the grid of patches. */
export function upsamplingCost(
  outputs: number,
  encoder: EncoderSpec,
  voxels: number,
  width = publishedWidth,
): number {
  const features = sumOf(architectureOf(encoder).widths(encoder));
  return patchesOf(encoder, voxels) * 9 * (32 * width * features + 512 * width ** 2 + 256 * width * outputs);
}

/** They have 8 and 4 times the width and `outputs` channels. */
export function upsamplingSize(
  outputs: number,
  encoder: EncoderSpec,
  voxels: number,
  width = publishedWidth,
): Size {
  const features = sumOf(architectureOf(encoder).widths(encoder));
  const kept = patchesOf(encoder, voxels) * (96 * width + 64 * outputs) * 4 + 3 * outputs * voxels;
  return {
    ...nothing,
    parameters: 72 * width * (features + 4 * width),
    kept,
    transient: kept / 3,
  };
}

/** ProViCNet's decoder, slice by slice. */
export const conv1 = {
  kind: "conv1",
  schema: section({ kind: z.literal("conv1"), outputs: size, width: size.optional() }),
  batchNorm: () => true,
  cost: ({ outputs, width }, encoder, voxels) => upsamplingCost(outputs, encoder, voxels, width),
  size: ({ outputs, width }, encoder, voxels) => upsamplingSize(outputs, encoder, voxels, width),
} as const satisfies HeadKind<Extract<HeadSpec, { kind: "conv1" }>>;
