import { z } from "zod";
import { sumOf } from "../../common/numbers.js";
import { section } from "../../common/validation.js";
import type { EncoderSpec, HeadSpec } from "../../native/network-spec.js";
import { architectureOf } from "../architectures/index.js";
import { nothing, type Size } from "../architectures/size.js";
import { size } from "../architectures/sizes.js";
import { coarser, convolution, type Extents, pass, volumeOf, type Work } from "../architectures/work.js";
import { type HeadKind, patchesOf } from "./head.js";

const publishedWidth = 16;

/** Convolutions 3x3 at 2, 4 and 8 times the grid of patches, each of what was enlarged; then what they answer, at full size. */
export function upsamplingWork(
  outputs: number,
  encoder: EncoderSpec,
  extents: Extents,
  width = publishedWidth,
): Work {
  const features = sumOf(architectureOf(encoder).widths(encoder));
  const patch = architectureOf(encoder).patch?.(encoder) ?? Number.POSITIVE_INFINITY;
  const positions = volumeOf(coarser(extents, [patch, patch, 1]));
  const enlarged = (factor: number, into: number, out: number, normed: boolean) => [
    pass(1.25 * factor * positions * into),
    convolution(factor * positions, into, out, 9),
    ...(normed ? [pass(5 * factor * positions * out, 2)] : []),
  ];
  return [
    ...enlarged(4, features, 8 * width, true),
    ...enlarged(16, 8 * width, 4 * width, true),
    ...enlarged(64, 4 * width, outputs, false),
    pass(2 * volumeOf(extents) * outputs),
  ];
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
  work: ({ outputs, width }, encoder, extents) => upsamplingWork(outputs, encoder, extents, width),
  size: ({ outputs, width }, encoder, voxels) => upsamplingSize(outputs, encoder, voxels, width),
} as const satisfies HeadKind<Extract<HeadSpec, { kind: "conv1" }>>;
