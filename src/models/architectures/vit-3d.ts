import { z } from "zod";
import { section } from "../../common/validation.js";
import type { VitSpec } from "../../native/network-spec.js";
import type { SpecialisedArchitecture } from "./architecture.js";
import { nothing, together } from "./size.js";
import { size } from "./sizes.js";
import { transformerSize, transformerWork } from "./transformer-blocks.js";
import { coarser, norm, paddedTo, pass, product, volumeOf } from "./work.js";

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
  work({ patch, channels, outputs, embedDim, depth, heads }, extents) {
    const [patchDepth, patchHeight, patchWidth] = patch;
    const edges = [patchHeight, patchWidth, patchDepth] as const;
    const [tokens, voxels] = [volumeOf(coarser(extents, edges)), volumeOf(paddedTo(extents, edges))];
    const inPatch = volumeOf(edges);
    return [
      pass(3 * voxels * channels, 2),
      product(tokens, inPatch * channels, embedDim),
      pass(4 * tokens * embedDim, 2),
      ...transformerWork({ sequences: 1, tokens, width: embedDim, heads }, depth),
      norm(tokens, embedDim),
      product(tokens, embedDim, inPatch * outputs),
      pass(5 * voxels * outputs, 2),
    ];
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
