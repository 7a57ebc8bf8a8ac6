import { z } from "zod";
import { section } from "../../common/validation.js";
import type { HeadSpec } from "../../native/network-spec.js";
import { architectureOf } from "../architectures/index.js";
import { nothing } from "../architectures/size.js";
import { size } from "../architectures/sizes.js";
import { coarser, convNeXtBlock, convolution, pass, times, volumeOf } from "../architectures/work.js";
import type { HeadKind } from "./head.js";

const published = { decoderDim: 512, decoderDepth: 1 };

/** Voxels of a masked patch, 16 along each axis. */
const patchEdge = 16;
const voxelsOfPatch = patchEdge ** 3;

/** Predicts the voxels of masked patches (He et al. 2022; Woo et al. 2023). */
export const maskedAutoencoder = {
  kind: "masked-autoencoder",
  padsTo: 16,
  schema: section({
    kind: z.literal("masked-autoencoder"),
    patch: size.optional(),
    decoderDim: size.optional(),
    decoderDepth: size.optional(),
  }),
  batchNorm: () => false,
  work(head, encoder, extents) {
    const { decoderDim, decoderDepth } = { ...published, ...head };
    const { widths } = architectureOf(encoder);
    const patches = volumeOf(coarser(extents, patchEdge));
    const answered = voxelsOfPatch * encoder.channels;
    return [
      convolution(patches, widths(encoder).at(-1) as number, decoderDim, 1),
      pass(5 * patches * decoderDim, 3),
      ...times(decoderDepth, convNeXtBlock(patches, decoderDim)),
      convolution(patches, decoderDim, answered, 1),
      pass(6 * patches * answered, 4),
    ];
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
