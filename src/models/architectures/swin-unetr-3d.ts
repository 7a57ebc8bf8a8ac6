import { z } from "zod";
import { sumOf } from "../../common/numbers.js";
import { section } from "../../common/validation.js";
import type { SwinUnetrSpec } from "../../native/network-spec.js";
import { swinUnetrEncoder } from "../checkpoints/key-maps/swin-unetr.js";
import { countFrom, type EncoderArchitecture, encoderOfVolumes } from "./architecture.js";
import { nothing, type Size } from "./size.js";
import { four, size } from "./sizes.js";
import { transformerWork } from "./transformer-blocks.js";
import {
  coarser,
  convolution,
  type Extents,
  norm,
  pass,
  product,
  times,
  volumeOf,
  type Work,
} from "./work.js";

/** Tokens of a stage: patches of 2x2x2, of which eight are merged after each stage. */
const tokens = (voxels: number, stage: number): number => voxels / 8 ** (stage + 1);

const dimOf = ({ features }: SwinUnetrSpec, stage: number): number => features * 2 ** stage;

/** Weights of a stage at each token: blocks of 12 squares of the width, and the merging, at one of eight tokens. */
const ofBlocks = (spec: SwinUnetrSpec, stage: number): number =>
  (spec.depths[stage] as number) * 12 * dimOf(spec, stage) ** 2;
const ofMerging = (spec: SwinUnetrSpec, stage: number): number => 16 * dimOf(spec, stage) ** 2;

const biasTable = ({ window = 7 }: SwinUnetrSpec): number => (2 * window - 1) ** 3;

function parameters(spec: SwinUnetrSpec): number {
  const stages = spec.depths.map(
    (depth, stage) =>
      ofBlocks(spec, stage) +
      ofMerging(spec, stage) +
      depth * biasTable(spec) * (spec.heads[stage] as number),
  );
  return 8 * spec.channels * spec.features + sumOf(stages);
}

/** The tokens of a grid in windows: it is padded to whole ones, and one that is no longer than a window is one. */
function windowsOf(grid: Extents, window: number): { windows: number; tokens: number } {
  const edges = grid.map((extent) => Math.min(extent, window)) as unknown as Extents;
  return { windows: volumeOf(coarser(grid, edges)), tokens: volumeOf(edges) };
}

/** Blocks of attention in windows, each stage with the merging of eight tokens, and a norm of what leaves it. */
function work(spec: SwinUnetrSpec, extents: Extents): Work {
  const { channels, features, depths, heads, window = 7 } = spec;
  let grid = coarser(extents, 2);
  const embed = convolution(volumeOf(grid), channels, features, 8, volumeOf(extents));
  const stages = depths.flatMap((depth, stage) => {
    const width = dimOf(spec, stage);
    const { windows, tokens: seen } = windowsOf(grid, window);
    const of = { sequences: windows, tokens: seen, width, heads: heads[stage] as number };
    const scores = windows * seen ** 2 * of.heads;
    grid = coarser(grid, 2);
    const merged = volumeOf(grid);
    return [
      // Cut into windows and back; scores are held, with a bias of each offset.
      ...transformerWork(of, depth),
      ...times(depth, [pass(6 * windows * seen * width, 4), pass(6 * scores, 3)]),
      pass(16 * merged * width, 8),
      norm(merged, 8 * width),
      product(merged, 8 * width, 2 * width),
      norm(merged, 2 * width),
    ];
  });
  return [embed, pass(2 * volumeOf(extents) * channels), ...stages];
}

/** A block keeps some 20 times its tokens, and the attention of each head twice. */
function sizeOf(spec: SwinUnetrSpec, voxels: number): Size {
  const seen = (spec.window ?? 7) ** 3;
  const stages = spec.depths.map(
    (depth, stage) =>
      depth * tokens(voxels, stage) * (20 * dimOf(spec, stage) + 2 * seen * (spec.heads[stage] as number)),
  );
  return {
    ...nothing,
    parameters: parameters(spec),
    kept: sumOf(stages),
    transient: (stages[0] as number) / 2,
  };
}

/** The encoder of Swin UNETR (Hatamizadeh et al. 2022), as MONAI has it. */
export const swinUnetr = {
  family: "swin-unetr-3d",
  schema: section({
    family: z.literal("swin-unetr-3d"),
    channels: size,
    features: size.max(4096),
    depths: four,
    heads: four,
    window: size.max(64).optional(),
    merging: z.enum(["complete", "repeated"]).optional(),
  }).refine(({ features, heads }) => heads.every((count, stage) => (features * 2 ** stage) % count === 0), {
    path: ["heads"],
    error: "expected numbers that divide the stages' features",
  }),
  presets: {
    /** The published size, with the merging that published weights were trained with (MONAI until 1.3). */
    "swin-unetr": {
      family: "swin-unetr-3d",
      channels: 1,
      features: 48,
      depths: [2, 2, 2, 2],
      heads: [3, 6, 12, 24],
      merging: "repeated",
    },
    /** For two CPU cores. */
    "swin-unetr-demo": {
      family: "swin-unetr-3d",
      channels: 1,
      features: 8,
      depths: [1, 1, 1, 1],
      heads: [1, 2, 4, 8],
      window: 4,
    },
  },
  ...encoderOfVolumes,
  names: {
    encoder: ["encoder."],
    block: /^encoder\.layers\d\.0\.blocks\.\d+\./,
    norm: /\.norm\d?\.(?:weight|bias)$/,
    // What merges a stage's tokens comes after its last block, and goes with the next stage's first.
    goesWith: (name) => {
      const stage = /^encoder\.layers([123])\.0\.downsample\./.exec(name)?.[1];
      return stage === undefined ? null : `encoder.layers${Number(stage) + 1}.0.blocks.0.`;
    },
    last: /^encoder\.layers4\.0\.downsample\./,
  },
  keyMaps: [swinUnetrEncoder],
  blocks: ({ depths }) => sumOf(depths),
  widths: (spec) => spec.depths.map((_, stage) => 2 * dimOf(spec, stage)),
  parameters,
  work,
  size: sizeOf,
  guess(shapes) {
    const [features, channels, ...patch] = shapes.get("encoder.patch_embed.proj.weight") ?? [];
    const stages = [1, 2, 3, 4];
    const depths = stages.map((stage) =>
      countFrom(shapes, (block) => `encoder.layers${stage}.0.blocks.${block}.attn.qkv.weight`),
    );
    const tables = stages.map((stage) =>
      shapes.get(`encoder.layers${stage}.0.blocks.0.attn.relative_position_bias_table`),
    );
    const window = (Math.cbrt(tables[0]?.[0] ?? 0) + 1) / 2;
    if (features === undefined || channels === undefined || depths.includes(0)) return null;
    if (patch.length !== 3 || patch.some((edge) => edge !== 2) || !Number.isInteger(window)) return null;
    const heads = tables.map((shape) => shape?.[1] ?? 0);
    return {
      encoder: {
        family: "swin-unetr-3d",
        channels,
        features,
        depths: depths as SwinUnetrSpec["depths"],
        heads: heads as SwinUnetrSpec["heads"],
        ...(window === 7 ? {} : { window }),
        merging: "repeated",
      },
      assumed: ["merging"],
    };
  },
} as const satisfies EncoderArchitecture<SwinUnetrSpec>;
