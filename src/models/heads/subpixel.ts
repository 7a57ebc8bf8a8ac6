import { z } from "zod";
import { section } from "../../common/validation.js";
import type { HeadSpec } from "../../native/network-spec.js";
import { size } from "../architectures/sizes.js";
import type { HeadKind } from "./head.js";
import { fullSizeCost, fullSizeSize } from "./unetr.js";

/** Twice the slices, from dense features by a subpixel shuffle (Shi et al. 2016). */
export const subpixel = {
  kind: "subpixel",
  schema: section({ kind: z.literal("subpixel"), outputs: size, featureSize: size.optional() }),
  batchNorm: (slices) => slices,
  cost: ({ featureSize }, _encoder, voxels) => fullSizeCost(voxels, featureSize),
  size: ({ featureSize }, encoder, voxels) => fullSizeSize(encoder, voxels, featureSize),
} as const satisfies HeadKind<Extract<HeadSpec, { kind: "subpixel" }>>;
