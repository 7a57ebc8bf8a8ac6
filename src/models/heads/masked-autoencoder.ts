import { z } from "zod";
import { section } from "../../common/validation.js";
import type { HeadSpec } from "../../native/network-spec.js";
import { nothing } from "../architectures/size.js";
import { size } from "../architectures/sizes.js";
import type { HeadKind } from "./head.js";

const published = { decoderDim: 512, decoderDepth: 1 };

/** Voxels of a masked patch, 16 along each axis. */
const voxelsOfPatch = 16 ** 3;

/** Predicts the voxels of masked patches (He et al. 2022; Woo et al. 2023). */
export const maskedAutoencoder = {
  kind: "masked-autoencoder",
  schema: section({
    kind: z.literal("masked-autoencoder"),
    patch: size.optional(),
    decoderDim: size.optional(),
    decoderDepth: size.optional(),
  }),
  batchNorm: () => false,
  cost(head, { channels }, voxels) {
    const { decoderDim, decoderDepth } = { ...published, ...head };
    const patches = voxels / voxelsOfPatch;
    return patches * decoderDim * (decoderDepth * (343 + 8 * decoderDim) + voxelsOfPatch * channels);
  },
  size(head, { channels }, voxels) {
    const { decoderDim, decoderDepth } = { ...published, ...head };
    const patches = voxels / voxelsOfPatch;
    return {
      ...nothing,
      parameters:
        decoderDepth * (343 * decoderDim + 8 * decoderDim ** 2) + decoderDim * voxelsOfPatch * channels,
      kept: patches * (15 * decoderDim * decoderDepth + 4 * voxelsOfPatch * channels),
      recomputed: patches * 14 * decoderDim * decoderDepth,
      transient: patches * voxelsOfPatch * channels,
    };
  },
} as const satisfies HeadKind<Extract<HeadSpec, { kind: "masked-autoencoder" }>>;
