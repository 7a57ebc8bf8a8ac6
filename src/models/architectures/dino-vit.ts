import { z } from "zod";
import { section } from "../../common/validation.js";
import type { DinoVitSpec } from "../../native/network-spec.js";
import { positionsOfAnyGrid } from "../checkpoints/key-maps/vision-rules.js";
import { countFrom, type EncoderArchitecture } from "./architecture.js";
import { nothing, together } from "./size.js";
import { size } from "./sizes.js";
import { transformerSize, transformerWork } from "./transformer-blocks.js";
import { norm, pass, product } from "./work.js";

/** Features that an attention head usually has. */
const usualHead = 64;

/** The position embedding of DINOv2: a class token and 37 x 37 patches. */
const publishedPositions = 1 + 37 ** 2;

/** Slices of whole patches, and as many voxels for each of its further tokens. */
function voxelsSeen(
  { patch, registers, axisTokens }: DinoVitSpec,
  [height, width, depth]: readonly [number, number, number],
): number {
  const patches = Math.ceil(height / patch) * Math.ceil(width / patch);
  return depth * (patches + 1 + registers + axisTokens) * patch ** 2;
}

/** A vision transformer over slices (Oquab et al. 2024), with ProViCNet's axis tokens. */
export const dinoVit = {
  family: "dino-vit",
  schema: section({
    family: z.literal("dino-vit"),
    channels: size,
    patch: size,
    embedDim: size,
    depth: size,
    heads: size,
    registers: z.int().min(0).max(65_536),
    axisTokens: z.union([z.literal(0), z.literal(2)]),
  }),
  presets: {
    /** The published ViT-S/14, each slice seen with its two neighbours. */
    "provicnet-small": {
      family: "dino-vit",
      channels: 3,
      patch: 14,
      embedDim: 384,
      depth: 12,
      heads: 6,
      registers: 4,
      axisTokens: 2,
    },
    /** For two CPU cores; patches of 8 pixels, as `conv1` enlarges by 8: its logits have the slice's own size. */
    "provicnet-demo": {
      family: "dino-vit",
      channels: 3,
      patch: 8,
      embedDim: 48,
      depth: 4,
      heads: 3,
      registers: 4,
      axisTokens: 2,
    },
  },
  slices: true,
  patch: ({ patch }) => patch,
  takesPosition: ({ axisTokens }) => axisTokens > 0,
  voxelsSeen,
  decoders: ["conv1", "unetr"],
  pretraining: ["patch-contrast", "self-distillation"],
  finetune: "partial",
  names: {
    encoder: ["backbone.", "axis_pos.", "axis_max."],
    block: /^backbone\.blocks\.\d+\./,
    norm: /\.norm\d*\.(?:weight|bias)$/,
    last: /^backbone\.norm\./,
  },
  keyMaps: [
    {
      name: "dino-vit",
      title: "a vision transformer over slices under our own names",
      family: "dino-vit",
      // The names of ProViCNet.
      signs: [{ name: "^backbone\\.patch_embed\\.proj\\.weight$", axes: 4 }],
      rules: [positionsOfAnyGrid],
    },
  ],
  blocks: ({ depth }) => depth,
  widths: ({ embedDim }) => [embedDim],
  parameters: ({ embedDim, depth, channels, patch, registers }) =>
    depth * 12 * embedDim ** 2 + embedDim * (channels * patch ** 2 + publishedPositions + registers),
  /** Slices of whole patches through the embedding and the blocks, each slice's tokens by themselves. */
  work({ channels, patch, embedDim, depth, heads, registers, axisTokens }, [height, width, slices]) {
    const patches = Math.ceil(height / patch) * Math.ceil(width / patch);
    const pixels = slices * patches * patch ** 2;
    const tokens = patches + 1 + registers + axisTokens;
    return [
      pass(3 * pixels * channels, 4),
      { ...product(slices * patches, patch ** 2 * channels, embedDim), kind: "convolution" },
      pass(6 * slices * tokens * embedDim, 6),
      ...transformerWork({ sequences: slices, tokens, width: embedDim, heads }, depth),
      norm(slices * tokens, embedDim),
      pass(4 * slices * tokens * embedDim, 4),
    ];
  },
  size({ channels, patch, embedDim, depth }, voxels) {
    const embedding = {
      ...nothing,
      parameters: channels * patch ** 2 * embedDim,
      kept: channels * voxels,
      transient: channels * voxels,
    };
    return together(embedding, transformerSize(voxels / patch ** 2, embedDim, depth));
  },
  guess(shapes) {
    const [embedDim, channels, patch, width] = shapes.get("backbone.patch_embed.proj.weight") ?? [];
    const depth = countFrom(shapes, (block) => `backbone.blocks.${block}.norm1.weight`);
    if (
      embedDim === undefined ||
      channels === undefined ||
      patch === undefined ||
      patch !== width ||
      depth === 0
    )
      return null;
    const heads = embedDim % usualHead === 0 ? embedDim / usualHead : 1;
    const encoder: DinoVitSpec = {
      family: "dino-vit",
      channels,
      patch,
      embedDim,
      depth,
      heads,
      registers: shapes.get("backbone.register_tokens")?.[1] ?? 0,
      axisTokens: shapes.has("axis_pos.weight") ? 2 : 0,
    };
    return { encoder, assumed: ["heads"] };
  },
} as const satisfies EncoderArchitecture<DinoVitSpec>;
