import { z } from "zod";
import { sumOf } from "../../common/numbers.js";
import { section } from "../../common/validation.js";
import type { HeadSpec } from "../../native/network-spec.js";
import { architectureOf } from "../architectures/index.js";
import { nothing } from "../architectures/size.js";
import { size } from "../architectures/sizes.js";
import { finestPositions, type HeadKind } from "./head.js";

const publishedHidden = 512;

/** UperNet (Xiao et al. 2018), as published with ProFound. */
export const upernet = {
  kind: "upernet",
  schema: section({
    kind: z.literal("upernet"),
    outputs: size,
    hidden: size.optional(),
    auxiliary: size.optional(),
  }),
  batchNorm: () => false,
  /** Three convolutions 3x3x3 of `hidden` at the finest stage and the fusion of four. */
  cost: ({ hidden = publishedHidden }, _encoder, voxels) => 27 * finestPositions(voxels) * hidden ** 2 * 6,
  size({ hidden = publishedHidden, outputs }, encoder, voxels) {
    const widths = architectureOf(encoder).widths(encoder);
    const finest = finestPositions(voxels);
    return {
      ...nothing,
      // The pyramid's 3x3x3 over the last stage and its four poolings, one a lateral level, the fusion of four levels.
      parameters: 27 * hidden * (11 * hidden + (widths.at(-1) as number)) + hidden * sumOf(widths),
      kept: 20 * hidden * finest + 3 * outputs * voxels,
      transient: Math.max(4 * hidden * finest, outputs * voxels),
    };
  },
} as const satisfies HeadKind<Extract<HeadSpec, { kind: "upernet" }>>;
