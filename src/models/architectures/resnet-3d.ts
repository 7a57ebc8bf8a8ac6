import { z } from "zod";
import { section } from "../../common/validation.js";
import type { ResNetEncoderSpec, ResNetSpec } from "../../native/network-spec.js";
import { countFrom, type EncoderArchitecture, type SpecialisedArchitecture } from "./architecture.js";
import { nothing, type Size, sum } from "./size.js";
import { four, size } from "./sizes.js";

type Trunk = Pick<ResNetSpec, "channels" | "features" | "blocks">;

/** The width inside a stage's bottlenecks; the one that leaves them is four times that. */
const inner = (features: number, stage: number): number => features * 2 ** stage;

const trunkParameters = ({ channels, features, blocks }: Trunk): number =>
  343 * channels * features + sum(blocks.map((count, stage) => count * 35 * inner(features, stage) ** 2));

/** The stem 7x7x7 at half the size; then bottlenecks: 1x1x1 to a quarter of the channels, 3x3x3, and 1x1x1 back. */
function trunkCost({ channels, features, blocks }: Trunk, voxels: number): number {
  const stages = blocks.map((count, stage) => {
    // The first block comes from a stage of half the width, whose first layer still works at the finer size, and has a
    // shortcut; the first stage comes from the stem.
    const first = stage === 0 ? 1 + 27 + 4 + 4 : 8 * 2 + 27 + 4 + 8;
    const later = 4 + 27 + 4;
    return ((first + (count - 1) * later) * inner(features, stage) ** 2 * voxels) / 64 / 8 ** stage;
  });
  return (343 * channels * features * voxels) / 8 + sum(stages);
}

/** Bottlenecks: each keeps three convolutions with norm and activation, the last at the full width. */
function trunkSize(trunk: Trunk, voxels: number): Size {
  const { features, blocks } = trunk;
  const stem = (3 * features * voxels) / 8;
  const stages = blocks.map(
    (count, stage) => (count * 18 * inner(features, stage) * voxels) / 64 / 8 ** stage,
  );
  return { ...nothing, parameters: trunkParameters(trunk), kept: stem + sum(stages), transient: stem };
}

/** A 3D ResNet (He et al. 2016) of bottleneck blocks: channels of the input and after the first convolution. */
export const resNetEncoder = {
  family: "resnet-3d",
  schema: section({
    family: z.literal("resnet-3d"),
    channels: size,
    features: size.max(4096),
    blocks: four,
  }),
  presets: {
    /** ResNet-50 in 3D, whose names and shapes MedicalNet's weights have. */
    "resnet-50-encoder": { family: "resnet-3d", channels: 3, features: 64, blocks: [3, 4, 6, 3] },
    /** For two CPU cores. */
    "resnet-demo-encoder": { family: "resnet-3d", channels: 3, features: 8, blocks: [1, 1, 1, 1] },
  },
  slices: false,
  // That of a ConvNeXt, to be compared with it.
  decoders: ["upernet", "unetr"],
  pretraining: ["masked-autoencoder"],
  finetune: "full",
  batchNormStride: 32,
  names: {
    encoder: ["encoder."],
    block: /^encoder\.layer\d\.\d+\./,
    // That of a shortcut stands second in it.
    norm: /\.(?:bn\d|downsample\.1)\.(?:weight|bias)$/,
  },
  blocks: ({ blocks }) => sum(blocks),
  widths: ({ blocks, features }) => blocks.map((_, stage) => 4 * inner(features, stage)),
  parameters: trunkParameters,
  cost: trunkCost,
  size: trunkSize,
  guess(shapes) {
    const [features, channels] = shapes.get("encoder.conv1.weight") ?? [];
    const blocks = [1, 2, 3, 4].map((stage) =>
      countFrom(shapes, (block) => `encoder.layer${stage}.${block}.conv3.weight`),
    );
    if (features === undefined || channels === undefined || blocks.includes(0)) return null;
    return {
      encoder: { family: "resnet-3d", channels, features, blocks: blocks as ResNetEncoderSpec["blocks"] },
      assumed: ["strides"],
    };
  },
} as const satisfies EncoderArchitecture<ResNetEncoderSpec>;

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
  cost: trunkCost,
  size: trunkSize,
} as const satisfies SpecialisedArchitecture<ResNetSpec>;
