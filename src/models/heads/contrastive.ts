import { z } from "zod";
import { sumOf } from "../../common/numbers.js";
import { section } from "../../common/validation.js";
import type { HeadSpec } from "../../native/network-spec.js";
import { architectureOf } from "../architectures/index.js";
import { size } from "../architectures/sizes.js";
import { upsamplingCost, upsamplingSize } from "./conv1.js";
import type { HeadKind } from "./head.js";

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
  cost: ({ outputs }, encoder, voxels) => upsamplingCost(outputs, encoder, voxels),
  size(head, encoder, voxels) {
    const { hidden, bottleneck, prototypes } = { ...published, ...head };
    const features = sumOf(architectureOf(encoder).widths(encoder));
    const beside = upsamplingSize(head.outputs, encoder, voxels);
    const projection = hidden * (features + hidden + bottleneck) + bottleneck * prototypes;
    return { ...beside, parameters: beside.parameters + projection };
  },
} as const satisfies HeadKind<Extract<HeadSpec, { kind: "contrastive" }>>;
