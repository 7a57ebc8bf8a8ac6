import { z } from "zod";
import { sumOf } from "../../common/numbers.js";
import { section } from "../../common/validation.js";
import type { ConvNeXtSpec } from "../../native/network-spec.js";
import { countFrom, type EncoderArchitecture, encoderOfVolumes } from "./architecture.js";
import { four, size } from "./sizes.js";
import {
  convNeXtBlock,
  convolution,
  type Extents,
  norm,
  times,
  volumeOf,
  type Work,
  wholeSteps,
} from "./work.js";

/** Positions of stage `index`: the stem divides each axis by 4, then twice by 2, then not at all. */
const positions = (voxels: number, index: number): number => voxels / 64 / 8 ** Math.min(index, 2);

/** Parameters of a block, which are also its multiplications at one position: depthwise 7x7x7, and twice four times the width. */
const ofBlock = (dim: number): number => 343 * dim + 8 * dim ** 2;

/** Weights of the convolutions before the stages: 4x4x4, then 2x2x2 twice, then 1x1x1. */
function downsampling({ channels, dims: [first, second, third, fourth] }: ConvNeXtSpec): number {
  return 64 * channels * first + 8 * first * second + 8 * second * third + third * fourth;
}

const ofStages = ({ depths, dims }: ConvNeXtSpec, of: (dim: number, stage: number) => number): number[] =>
  depths.map((depth, stage) => depth * of(dims[stage] as number, stage));

/** A convolution to each stage with a norm before or behind it, and the stage's blocks. */
function workOf({ channels, depths, dims }: ConvNeXtSpec, extents: Extents): Work {
  let [from, into] = [extents, channels];
  return dims.flatMap((dim, stage) => {
    const stride = [4, 2, 2, 1][stage] as number;
    const to = wholeSteps(from, stride);
    const [fine, coarse] = [volumeOf(from), volumeOf(to)];
    const down = convolution(coarse, into, dim, stride ** 3, fine);
    const normed = stage === 0 ? norm(coarse, dim) : norm(fine, into);
    [from, into] = [to, dim];
    return [down, normed, ...times(depths[stage] as number, convNeXtBlock(coarse, dim))];
  });
}

/** A block keeps its input, the depthwise convolution, the norm, and three times the fourfold width. */
const keptByBlock = (voxels: number) => (dim: number, stage: number) => positions(voxels, stage) * dim * 15;

/** A 3D ConvNeXt V2 (Woo et al. 2023), ProFound's: channels of the input, blocks and features of its four stages. */
export const convNeXtV2 = {
  family: "convnext-v2-3d",
  schema: section({
    family: z.literal("convnext-v2-3d"),
    channels: size,
    depths: four,
    dims: four,
    dropPath: z.number().min(0).lt(1).optional(),
  }),
  presets: {
    /** The published size: ConvNeXt V2 Tiny in 3D, three channels. */
    "profound-tiny": {
      family: "convnext-v2-3d",
      channels: 3,
      depths: [3, 3, 9, 3],
      dims: [96, 192, 384, 768],
    },
    /** Small enough to be pretrained on two CPU cores in a minute. */
    "profound-demo": {
      family: "convnext-v2-3d",
      channels: 3,
      depths: [1, 1, 2, 1],
      dims: [16, 32, 64, 128],
    },
  },
  ...encoderOfVolumes,
  deepestStride: 16,
  names: {
    encoder: ["encoder."],
    block: /^encoder\.stages\.\d+\.\d+\./,
    // Between the stages they stand after the stem's convolution, and before the later ones.
    norm: /\.norm\d*\.(?:weight|bias)$|^encoder\.downsample_layers\.(?:0\.1|[123]\.0)\./,
    last: /^encoder\.norm\./,
    goesWith: (name) => {
      const stage = /^encoder\.downsample_layers\.([1-9]\d*)\./.exec(name)?.[1];
      return stage === undefined ? null : `encoder.stages.${stage}.0.`;
    },
  },
  keyMaps: [
    {
      name: "convnext-v2-3d",
      title: "a ConvNeXt V2 of volumes under our own names",
      family: "convnext-v2-3d",
      signs: [{ name: "^(?:(?:encoder|backbone)\\.)?downsample_layers\\.0\\.0\\.weight$", axes: 5 }],
      rules: [
        { from: "^(?:encoder\\.|backbone\\.)?((?:downsample_layers|stages|norm)\\..+)$", to: "encoder.$1" },
      ],
    },
  ],
  blocks: ({ depths }) => sumOf(depths),
  widths: ({ dims }) => dims,
  parameters: (spec) => downsampling(spec) + sumOf(ofStages(spec, ofBlock)),
  work: workOf,
  size(spec, voxels) {
    const kept = sumOf(ofStages(spec, keptByBlock(voxels)));
    return {
      parameters: this.parameters(spec),
      kept,
      recomputed: (14 / 15) * kept,
      narrowed: 0,
      transient: Math.max(...spec.dims.map(keptByBlock(voxels))),
    };
  },
  guess(shapes) {
    const stages = [0, 1, 2, 3].map((stage) => ({
      depth: countFrom(shapes, (block) => `encoder.stages.${stage}.${block}.norm.weight`),
      dim: shapes.get(`encoder.stages.${stage}.0.norm.weight`)?.at(-1),
    }));
    const channels = shapes.get("encoder.downsample_layers.0.0.weight")?.[1];
    if (channels === undefined || stages.some(({ depth, dim }) => depth === 0 || dim === undefined))
      return null;
    return {
      encoder: {
        family: "convnext-v2-3d",
        channels,
        depths: stages.map(({ depth }) => depth) as ConvNeXtSpec["depths"],
        dims: stages.map(({ dim }) => dim) as ConvNeXtSpec["dims"],
      },
      assumed: [],
    };
  },
} as const satisfies EncoderArchitecture<ConvNeXtSpec>;
