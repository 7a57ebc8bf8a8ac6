import { z } from "zod";
import { section } from "../../common/validation.js";
import type { TransUNetSpec } from "../../native/network-spec.js";
import type { SpecialisedArchitecture } from "./architecture.js";
import { together } from "./size.js";
import { levels, size } from "./sizes.js";
import { transformerSize, transformerWork } from "./transformer-blocks.js";
import { uNetSize, uNetWork } from "./unet-3d.js";
import { norm, pass, product, residualBlock, volumeOf } from "./work.js";

/** Features of the coarsest level, which are those of a token; and how many tokens there are. */
const coarsest = ({ features, levels }: TransUNetSpec, voxels: number) => ({
  width: features * 2 ** (levels - 1),
  tokens: voxels / 8 ** (levels - 1),
});

/** A 3D TransUNet (Chen et al. 2021); `heads` divide the coarsest level's features. */
export const transUNet = {
  family: "transunet-3d",
  schema: section({
    family: z.literal("transunet-3d"),
    features: size,
    levels,
    depth: size,
    heads: size,
  }).refine(({ features, levels, heads }) => (features * 2 ** (levels - 1)) % heads === 0, {
    path: ["heads"],
    error: "expected a divisor of features x 2^(levels - 1), the features of the coarsest level",
  }),
  presets: {
    /** The transformer of ViT-B: 768 features, 12 blocks, 12 heads. */
    "transunet-3d": { family: "transunet-3d", features: 48, levels: 5, depth: 12, heads: 12 },
    "transunet-demo": { family: "transunet-3d", features: 8, levels: 3, depth: 2, heads: 4 },
  },
  answers: "voxels",
  doublesDepth: true,
  denoises: false,
  batchNorm: false,
  complete: (
    sizes: Omit<TransUNetSpec, "channels" | "outputs" | "depthScale">,
    { channels, outputs, depthScale },
  ) => ({ ...sizes, channels, outputs, depthScale }),
  work: ({ depthScale = 1, depth, heads, ...spec }, extents) =>
    uNetWork({ ...spec, outputs: depthScale * spec.outputs }, extents, (coarsest, width) => {
      const tokens = volumeOf(coarsest);
      return [
        product(tokens, width, width),
        pass(4 * tokens * width, 2),
        ...transformerWork({ sequences: 1, tokens, width, heads }, depth),
        norm(tokens, width),
        ...residualBlock(tokens, width, width),
      ];
    }),
  size(spec, voxels) {
    const { width, tokens } = coarsest(spec, voxels);
    return together(uNetSize(spec, voxels), transformerSize(tokens, width, spec.depth));
  },
} as const satisfies SpecialisedArchitecture<TransUNetSpec>;
