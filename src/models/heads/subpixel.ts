import { z } from "zod";
import { section } from "../../common/validation.js";
import type { HeadSpec } from "../../native/network-spec.js";
import { architectureOf } from "../architectures/index.js";
import { size } from "../architectures/sizes.js";
import { convolution, pass, residualBlock, volumeOf } from "../architectures/work.js";
import { upsamplingWork } from "./conv1.js";
import type { HeadKind } from "./head.js";
import { fullSizeSize, publishedFeatures, unetrWork } from "./unetr.js";

/** Twice the slices, from dense features by a subpixel shuffle (Shi et al. 2016). */
export const subpixel = {
  kind: "subpixel",
  padsTo: 16,
  schema: section({ kind: z.literal("subpixel"), outputs: size, featureSize: size.optional() }),
  batchNorm: (slices) => slices,
  work({ outputs, featureSize = publishedFeatures }, encoder, extents) {
    const voxels = volumeOf(extents);
    const shuffled = pass(8 * voxels * outputs, 3);
    if (!architectureOf(encoder).slices)
      return [...unetrWork(encoder, extents, featureSize, 2 * outputs), shuffled];
    return [
      ...upsamplingWork(featureSize, encoder, extents, featureSize),
      pass(5 * voxels * featureSize, 3),
      ...residualBlock(voxels, featureSize + 1, featureSize),
      convolution(voxels, featureSize, 2 * outputs, 1),
      shuffled,
    ];
  },
  size: ({ featureSize }, encoder, voxels) => fullSizeSize(encoder, voxels, featureSize),
} as const satisfies HeadKind<Extract<HeadSpec, { kind: "subpixel" }>>;
