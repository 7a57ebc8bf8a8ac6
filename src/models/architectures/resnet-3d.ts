import { z } from "zod";
import { productOf, sumOf } from "../../common/numbers.js";
import { section } from "../../common/validation.js";
import type { ResNetEncoderSpec, ResNetSpec } from "../../native/network-spec.js";
import {
  countFrom,
  type EncoderArchitecture,
  encoderOfVolumes,
  type SpecialisedArchitecture,
} from "./architecture.js";
import { nothing, type Size } from "./size.js";
import { four, size } from "./sizes.js";
import { coarser, convolution, type Extents, type Operation, pass, volumeOf, type Work } from "./work.js";

type Trunk = Pick<ResNetEncoderSpec, "channels" | "features" | "blocks" | "block" | "shortcut" | "stem">;

const usualStem = { kernel: [7, 7, 7], stride: [2, 2, 2], pool: true } as const;
const stemOf = ({ stem }: Trunk) => ({ ...usualStem, ...stem });

/** The width inside a stage's blocks; the one that leaves bottlenecks is four times that. */
const inner = (features: number, stage: number): number => features * 2 ** stage;
const expansionOf = ({ block }: Trunk): number => (block === "basic" ? 1 : 4);

/** Weights of the stage's first block, in squares of its inner width. */
function ofFirstBlock({ block, shortcut }: Trunk, stage: number): number {
  const convolved = shortcut !== "padding";
  // The first stage of basic blocks comes from the stem, which is as wide; a later one from one of half the width.
  if (block === "basic") return (stage === 0 ? 27 : 27 / 2) + 27 + (stage > 0 && convolved ? 1 / 2 : 0);
  const [before, beside] = stage === 0 ? [1, 4] : [2, 8];
  return before + 27 + 4 + (convolved ? beside : 0);
}

const ofLaterBlock = ({ block }: Trunk): number => (block === "basic" ? 2 * 27 : 4 + 27 + 4);

function trunkParameters(trunk: Trunk): number {
  const { channels, features, blocks } = trunk;
  const stages = blocks.map(
    (count, stage) =>
      (ofFirstBlock(trunk, stage) + (count - 1) * ofLaterBlock(trunk)) * inner(features, stage) ** 2,
  );
  return productOf(stemOf(trunk).kernel) * channels * features + sumOf(stages);
}

/** Positions of a stage, of an input of so many voxels. */
function positions(trunk: Trunk, voxels: number, stage: number): number {
  const { stride, pool } = stemOf(trunk);
  return voxels / productOf(stride) / (pool ? 8 : 1) / 8 ** stage;
}

/** Batch norm and ReLU, in two passes of LibTorch's. */
const normed = (positions: number, features: number): Operation => pass(5 * positions * features, 2);

/** A convolution, from so many positions, with its batch norm. */
const layer = (to: number, into: number, out: number, kernel: number, from = to): Work => [
  convolution(to, into, out, kernel, from),
  normed(to, out),
];

/** The stem; then bottlenecks: 1x1x1 to a quarter of the channels, 3x3x3, and 1x1x1 back; or 3x3x3 twice. */
function trunkWork(trunk: Trunk, extents: Extents): Work {
  const { channels, features, blocks, shortcut } = trunk;
  const { kernel, stride, pool } = stemOf(trunk);
  const [depth, height, width] = stride;
  const stemmed = coarser(extents, [height, width, depth]);
  const first = pool ? coarser(stemmed, 2) : stemmed;
  const at = (stage: number) => volumeOf(coarser(first, 2 ** stage));
  let into: number = features;
  return [
    ...layer(volumeOf(stemmed), channels, features, productOf(kernel), volumeOf(extents)),
    ...(pool ? [pass((volumeOf(stemmed) + at(0)) * features)] : []),
    ...blocks.flatMap((count, stage) =>
      Array.from({ length: count }, (_, index) => {
        const narrow = inner(features, stage);
        const out = expansionOf(trunk) * narrow;
        const from = at(index === 0 ? Math.max(0, stage - 1) : stage);
        const to = at(stage);
        const block =
          trunk.block === "basic"
            ? [...layer(to, into, narrow, 27, from), ...layer(to, narrow, narrow, 27)]
            : [
                ...layer(from, into, narrow, 1),
                ...layer(to, narrow, narrow, 27, from),
                ...layer(to, narrow, out, 1),
              ];
        const beside =
          into === out && from === to
            ? []
            : shortcut === "padding"
              ? [pass(2 * to * out)]
              : layer(to, into, out, 1, from);
        into = out;
        return [...block, ...beside, pass(3 * to * out)];
      }).flat(),
    ),
  ];
}

/** Each convolution keeps what norm and activation take and give; those that leave a bottleneck at the full width. */
function trunkSize(trunk: Trunk, voxels: number): Size {
  const { features, blocks } = trunk;
  const stem = (3 * features * voxels) / productOf(stemOf(trunk).stride);
  const kept = trunk.block === "basic" ? 6 : 18;
  const stages = blocks.map(
    (count, stage) => count * kept * inner(features, stage) * positions(trunk, voxels, stage),
  );
  return { ...nothing, parameters: trunkParameters(trunk), kept: stem + sumOf(stages), transient: stem };
}

const edges = z.tuple([size.max(63), size.max(63), size.max(63)]);

/** A 3D ResNet (He et al. 2016): channels of the input and after the first convolution, its blocks and its stem. */
export const resNetEncoder = {
  family: "resnet-3d",
  schema: section({
    family: z.literal("resnet-3d"),
    channels: size,
    features: size.max(4096),
    blocks: four,
    block: z.enum(["bottleneck", "basic"]).optional(),
    shortcut: z.enum(["convolution", "padding"]).optional(),
    stem: section({
      kernel: edges.refine((of) => of.every((edge) => edge % 2 === 1), "expected odd numbers"),
      stride: z.tuple([size.max(16), size.max(16), size.max(16)]),
      pool: z.boolean().optional(),
    }).optional(),
  }),
  presets: {
    /** Basic blocks, as MedicalNet's weights of ResNet-18 have, whose shortcuts are padded. */
    "resnet-18-encoder": {
      family: "resnet-3d",
      channels: 3,
      features: 64,
      blocks: [2, 2, 2, 2],
      block: "basic",
      shortcut: "padding",
    },
    "resnet-34-encoder": {
      family: "resnet-3d",
      channels: 3,
      features: 64,
      blocks: [3, 4, 6, 3],
      block: "basic",
      shortcut: "padding",
    },
    /** ResNet-50 in 3D, whose names and shapes MedicalNet's weights have. */
    "resnet-50-encoder": { family: "resnet-3d", channels: 3, features: 64, blocks: [3, 4, 6, 3] },
    "resnet-101-encoder": { family: "resnet-3d", channels: 3, features: 64, blocks: [3, 4, 23, 3] },
    "resnet-152-encoder": { family: "resnet-3d", channels: 3, features: 64, blocks: [3, 8, 36, 3] },
    /** A ResNet-152 of images inflated to volumes, of chest and abdominal CT: the encoder of Merlin and of Astra. */
    "astra-resnet-152": {
      family: "resnet-3d",
      channels: 3,
      features: 64,
      blocks: [3, 8, 36, 3],
      stem: { kernel: [3, 7, 7], stride: [1, 2, 2] },
    },
    /** For two CPU cores. */
    "resnet-demo-encoder": { family: "resnet-3d", channels: 3, features: 8, blocks: [1, 1, 1, 1] },
  },
  ...encoderOfVolumes,
  // That of the usual stem; one with another has a norm at as many positions or more.
  batchNormStride: () => 32,
  names: {
    encoder: ["encoder."],
    block: /^encoder\.layer\d\.\d+\./,
    // That of a shortcut stands second in it.
    norm: /\.(?:bn\d|downsample\.1)\.(?:weight|bias)$/,
  },
  keyMaps: [
    {
      name: "resnet-3d",
      title: "a 3D ResNet under our own names",
      family: "resnet-3d",
      // torchvision's names under `encoder.`
      signs: [{ name: "^encoder\\.layer1\\.0\\.conv2\\.weight$", axes: 5 }],
      rules: [],
    },
  ],
  blocks: ({ blocks }) => sumOf(blocks),
  widths: (spec) => spec.blocks.map((_, stage) => expansionOf(spec) * inner(spec.features, stage)),
  parameters: trunkParameters,
  work: trunkWork,
  size: trunkSize,
  guess(shapes) {
    const [features, channels, ...kernel] = shapes.get("encoder.conv1.weight") ?? [];
    const blocks = [1, 2, 3, 4].map((stage) =>
      countFrom(shapes, (block) => `encoder.layer${stage}.${block}.conv2.weight`),
    );
    if (features === undefined || channels === undefined || kernel.length !== 3 || blocks.includes(0))
      return null;
    const basic = !shapes.has("encoder.layer1.0.conv3.weight");
    const padded = !shapes.has("encoder.layer2.0.downsample.0.weight");
    const usual = kernel.every((edge) => edge === 7);
    return {
      encoder: {
        family: "resnet-3d",
        channels,
        features,
        blocks: blocks as ResNetEncoderSpec["blocks"],
        ...(basic ? { block: "basic" } : {}),
        ...(padded ? { shortcut: "padding" } : {}),
        ...(usual ? {} : { stem: { kernel: kernel as never, stride: kernel.map(strideOf) as never } }),
      },
      assumed: ["strides"],
    };
  },
} as const satisfies EncoderArchitecture<ResNetEncoderSpec>;

/** The stride that a stem's kernel usually has along an axis: inflated networks go through the slices one by one. */
const strideOf = (edge: number): number => (edge > 3 ? 2 : 1);

/** The same as a specialised model, for tasks that answer with classes. */
export const resNetClassifier = {
  family: "resnet-3d",
  schema: section({ family: z.literal("resnet-3d"), features: size, blocks: four }),
  presets: {
    /** The published blocks. */
    "resnet-50": { family: "resnet-3d", features: 64, blocks: [3, 4, 6, 3] },
    "resnet-demo": { family: "resnet-3d", features: 8, blocks: [1, 1, 1, 1] },
  },
  answers: "classes",
  doublesDepth: false,
  denoises: false,
  batchNorm: true,
  complete: (sizes: Pick<ResNetSpec, "family" | "features" | "blocks">, { channels, outputs }) => ({
    ...sizes,
    blocks: [...sizes.blocks] as ResNetSpec["blocks"],
    channels,
    classes: outputs,
  }),
  work: trunkWork,
  size: trunkSize,
} as const satisfies SpecialisedArchitecture<ResNetSpec>;
