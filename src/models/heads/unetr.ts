import { z } from "zod";
import { sumOf } from "../../common/numbers.js";
import { section } from "../../common/validation.js";
import type { EncoderSpec, HeadSpec } from "../../native/network-spec.js";
import { architectureOf } from "../architectures/index.js";
import { nothing, type Size } from "../architectures/size.js";
import { size } from "../architectures/sizes.js";
import {
  coarser,
  convolution,
  type Extents,
  norm,
  paddedTo,
  pass,
  residualBlock,
  spread,
  upBlock,
  volumeOf,
  type Work,
} from "../architectures/work.js";
import type { HeadKind } from "./head.js";

export const publishedFeatures = 16;

/** The decoder doubles the grid four times. */
const stride = 16;

/** From the deepest map up, on a padded volume: each finer map joins its level, and the volume itself the finest. */
export function unetrWork(encoder: EncoderSpec, extents: Extents, features: number, outputs: number): Work {
  const { channels } = encoder;
  const padded = paddedTo(extents, stride);
  const widths = architectureOf(encoder).widths(encoder);
  const at = (level: number) => volumeOf(padded) / 8 ** level; // level 0 is the finest
  const width = (level: number) => features * 2 ** level;
  return [
    pass(2 * at(0) * channels),
    norm(at(4), widths[3] as number),
    ...[3, 2, 1].flatMap((level) => {
      const [below, beside] = [at(level + 1), widths[level - 1] as number];
      return [
        norm(below, beside),
        ...spread(below, beside, width(level), 8),
        ...upBlock(at(level), level === 3 ? (widths[3] as number) : width(level + 1), width(level)),
      ];
    }),
    ...residualBlock(at(0), channels, features),
    ...upBlock(at(0), width(1), features),
    convolution(at(0), features, outputs, 1),
    pass(2 * at(0) * outputs),
  ];
}

/** Slice by slice: levels keep the depth, and the tokens of four depths are spread over the grids of each. */
function sliceUnetrWork(encoder: EncoderSpec, extents: Extents, features: number, outputs: number): Work {
  const { channels } = encoder;
  const { patch = () => 1, widths } = architectureOf(encoder);
  const edge = patch(encoder);
  const tokens = volumeOf(coarser(extents, [edge, edge, 1]));
  const embedded = widths(encoder).at(-1) as number;
  const at = (level: number) => volumeOf(coarser(extents, [2 ** level, 2 ** level, 1]));
  const width = (level: number) => features * 2 ** level;
  const spreadTokens = (level: number): Work => [
    pass(2 * tokens * embedded),
    ...spread(tokens, embedded, width(level), Math.ceil(edge / 2 ** level) ** 2),
    pass(2 * at(level) * width(level)),
  ];
  const refine = (level: number): Work => [
    pass(4 * at(level) * width(level)),
    ...residualBlock(at(level), 2 * width(level), width(level)),
  ];
  return [
    ...spreadTokens(3),
    ...[3, 2, 1].flatMap((level) => [
      ...(level === 3 ? [] : spread(at(level + 1), width(level + 1), width(level), 4)),
      ...spreadTokens(level),
      ...refine(level),
    ]),
    pass(4 * at(0) * channels, 2),
    ...residualBlock(at(0), channels, features),
    ...spread(at(1), width(1), features, 4),
    ...refine(0),
    convolution(at(0), features, outputs, 1),
    pass(2 * at(0) * outputs),
  ];
}

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
  padsTo: 16,
  schema: section({ kind: z.literal("unetr"), outputs: size, featureSize: size.optional() }),
  batchNorm: () => false,
  work: ({ featureSize = publishedFeatures, outputs }, encoder, extents) =>
    (architectureOf(encoder).slices ? sliceUnetrWork : unetrWork)(encoder, extents, featureSize, outputs),
  size: ({ featureSize }, encoder, voxels) => fullSizeSize(encoder, voxels, featureSize),
} as const satisfies HeadKind<Extract<HeadSpec, { kind: "unetr" }>>;
