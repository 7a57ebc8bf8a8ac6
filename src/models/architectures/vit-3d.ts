import { z } from "zod";
import { section } from "../../common/validation.js";
import type { VitSpec } from "../../native/network-spec.js";
import type { SpecialisedArchitecture } from "./architecture.js";
import { nothing, together } from "./size.js";
import { size } from "./sizes.js";
import { transformerCost, transformerSize } from "./transformer-blocks.js";

const edge = z.int().min(1).max(256);

const voxelsOfPatch = ({ patch: [depth, height, width] }: Pick<VitSpec, "patch">): number =>
  depth * height * width;

/** A vision transformer with patch reconstruction (Dosovitskiy et al. 2021); a patch is [depth, height, width]. */
export const vit = {
  family: "vit-3d",
  schema: section({
    family: z.literal("vit-3d"),
    patch: z.tuple([edge, edge, edge]),
    embedDim: size,
    depth: size,
    heads: size,
  }).refine(({ embedDim, heads }) => embedDim % heads === 0, {
    path: ["heads"],
    error: "expected a divisor of embedDim",
  }),
  presets: {
    /** The transformer of ViT-B: 768 features, 12 blocks, 12 heads. */
    "vit-3d": { family: "vit-3d", patch: [8, 16, 16], embedDim: 768, depth: 12, heads: 12 },
    "vit-demo": { family: "vit-3d", patch: [4, 8, 8], embedDim: 64, depth: 2, heads: 4 },
  },
  answers: "voxels",
  doublesDepth: false,
  denoises: false,
  batchNorm: false,
  complete: (
    sizes: Omit<VitSpec, "channels" | "outputs" | "patch"> & { patch: readonly [number, number, number] },
    { channels, outputs },
  ) => ({ ...sizes, patch: [...sizes.patch] as VitSpec["patch"], channels, outputs }),
  cost(spec, voxels) {
    const { channels, outputs, embedDim, depth } = spec;
    const tokens = voxels / voxelsOfPatch(spec);
    return voxels * (channels + outputs) * embedDim + transformerCost(tokens, embedDim, depth);
  },
  size(spec, voxels) {
    const { channels, outputs, embedDim, depth } = spec;
    const ends = {
      ...nothing,
      parameters: voxelsOfPatch(spec) * (channels + outputs) * embedDim,
      kept: (channels + 2 * outputs) * voxels,
      transient: outputs * voxels,
    };
    return together(ends, transformerSize(voxels / voxelsOfPatch(spec), embedDim, depth));
  },
} as const satisfies SpecialisedArchitecture<VitSpec>;
