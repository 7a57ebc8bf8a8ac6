import { z } from "zod";
import { sumOf } from "../../common/numbers.js";
import { section } from "../../common/validation.js";
import type { HeadSpec } from "../../native/network-spec.js";
import { architectureOf } from "../architectures/index.js";
import { size } from "../architectures/sizes.js";
import { pass, product, volumeOf } from "../architectures/work.js";
import { upsamplingSize } from "./conv1.js";
import { type HeadKind, patchesOf } from "./head.js";

const published = { hidden: 2048, bottleneck: 256, prototypes: 65_536 };

/** ProViCNet as it is pretrained (Lee et al. 2025): `conv1`, and beside it a projection of patch features to prototypes. */
export const contrastive = {
  kind: "contrastive",
  schema: section({
    kind: z.literal("contrastive"),
    outputs: size,
    hidden: size.optional(),
    bottleneck: size.optional(),
    prototypes: size.optional(),
  }),
  batchNorm: () => true,
  /** Of every patch: pretraining projects those that it draws. */
  work(head, encoder, extents) {
    const { hidden, bottleneck, prototypes } = { ...published, ...head };
    const features = sumOf(architectureOf(encoder).widths(encoder));
    const patches = patchesOf(encoder, volumeOf(extents));
    return [
      product(patches, features, hidden),
      product(patches, hidden, hidden),
      product(patches, hidden, bottleneck),
      product(patches, bottleneck, prototypes),
      pass(patches * (6 * hidden + 4 * bottleneck + 2 * prototypes), 6),
    ];
  },
  size(head, encoder, voxels) {
    const { hidden, bottleneck, prototypes } = { ...published, ...head };
    const features = sumOf(architectureOf(encoder).widths(encoder));
    const beside = upsamplingSize(head.outputs, encoder, voxels);
    const projection = hidden * (features + hidden + bottleneck) + bottleneck * prototypes;
    return { ...beside, parameters: beside.parameters + projection };
  },
} as const satisfies HeadKind<Extract<HeadSpec, { kind: "contrastive" }>>;
