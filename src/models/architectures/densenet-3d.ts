import { z } from "zod";
import { sumOf } from "../../common/numbers.js";
import { section } from "../../common/validation.js";
import { countFrom, type EncoderArchitecture, encoderOfVolumes } from "./architecture.js";
import { nothing, type Size } from "./size.js";
import { four, size } from "./sizes.js";
import { coarser, convolution, type Extents, type Operation, pass, volumeOf, type Work } from "./work.js";

/**
 * The encoder of a 3D DenseNet (Huang et al. 2017), as MONAI has it: each layer sees all that came before it in its block.
 * Its four feature maps have strides of 4, 8, 16 and 32.
 */
export interface DenseNetSpec {
  family: "densenet-3d";
  /** Of the input. */
  channels: number;
  /** After the first convolution. */
  features: number;
  /** What each layer adds. */
  growth: number;
  /** Layers of the four blocks. */
  blocks: [number, number, number, number];
}

declare module "../../native/network-spec.js" {
  interface EncoderSpecs {
    "densenet-3d": DenseNetSpec;
  }
}

/** A layer's 1x1x1 makes so many times the growth. */
const bottleneck = 4;

/** Of each block: features that come in and go out. */
function blocksOf({ features, growth, blocks }: DenseNetSpec) {
  let into = features;
  return blocks.map((layers) => {
    const block = { into, out: into + layers * growth, layers };
    into = Math.floor(block.out / 2);
    return block;
  });
}

/** Weights of a block's layers, and of the 1x1x1 to half the features that stands behind all but the last. */
function weightsOf({ growth }: DenseNetSpec, { into, out, layers }: ReturnType<typeof blocksOf>[number]) {
  const seen = layers * into + (growth * layers * (layers - 1)) / 2;
  return {
    layers: bottleneck * growth * seen + 27 * bottleneck * growth ** 2 * layers,
    transition: out * Math.floor(out / 2),
  };
}

const stemOf = ({ channels, features }: DenseNetSpec): number => 7 ** 3 * channels * features;

/** Positions of a block, of an input of so many voxels. */
const positions = (voxels: number, stage: number): number => voxels / 64 / 8 ** stage;

/** Its weights work once at each of the stage's positions. */
const ofStages = (
  spec: DenseNetSpec,
  of: (weights: number, stage: number) => number = (weights) => weights,
): number =>
  sumOf(
    blocksOf(spec).map((block, stage) => {
      const { layers, transition } = weightsOf(spec, block);
      return of(layers + (stage < 3 ? transition : 0), stage);
    }),
  );

const parameters = (spec: DenseNetSpec): number => stemOf(spec) + ofStages(spec);

/** Norm and activation, in two passes of LibTorch's. */
const normed = (positions: number, features: number): Operation => pass(5 * positions * features, 2);

/** Each layer's norm goes over all that came before it in the block, and what it adds is joined to that. */
function work(spec: DenseNetSpec, extents: Extents): Work {
  const { channels, features, growth } = spec;
  const half = coarser(extents, 2);
  const at = (stage: number) => volumeOf(coarser(extents, 4 * 2 ** stage));
  const wide = bottleneck * growth;
  return [
    convolution(volumeOf(half), channels, features, 7 ** 3, volumeOf(extents)),
    normed(volumeOf(half), features),
    pass((volumeOf(half) + at(0)) * features),
    ...blocksOf(spec).flatMap(({ into, out, layers }, stage) => [
      ...Array.from({ length: layers }, (_, layer) => into + layer * growth).flatMap((seen) => [
        pass(2 * at(stage) * seen),
        normed(at(stage), seen),
        convolution(at(stage), seen, wide, 1),
        normed(at(stage), wide),
        convolution(at(stage), wide, growth, 27),
      ]),
      ...(stage < 3
        ? [
            normed(at(stage), out),
            convolution(at(stage), out, Math.floor(out / 2), 1),
            pass((1.125 * at(stage) * out) / 2),
          ]
        : [normed(at(stage), out)]),
    ]),
  ];
}

/** Each layer keeps norm and activation of all that came before it, and of its few features, and joins it anew. */
function sizeOf(spec: DenseNetSpec, voxels: number): Size {
  const stem = (3 * spec.features * voxels) / 8;
  const stages = blocksOf(spec).map(
    ({ into, out, layers }, stage) =>
      positions(voxels, stage) * layers * (3 * ((into + out) / 2) + 4 * bottleneck * spec.growth),
  );
  return { ...nothing, parameters: parameters(spec), kept: stem + sumOf(stages), transient: stem };
}

export const denseNet = {
  family: "densenet-3d",
  schema: section({
    family: z.literal("densenet-3d"),
    channels: size.max(4096),
    features: size.max(4096),
    growth: size.max(1024),
    blocks: four,
  }),
  presets: {
    /** DenseNet-121 in 3D, as MONAI has it. */
    "densenet-121-encoder": {
      family: "densenet-3d",
      channels: 1,
      features: 64,
      growth: 32,
      blocks: [6, 12, 24, 16],
    },
    /** For two CPU cores. */
    "densenet-demo-encoder": {
      family: "densenet-3d",
      channels: 1,
      features: 8,
      growth: 4,
      blocks: [2, 2, 2, 2],
    },
  },
  ...encoderOfVolumes,
  batchNormStride: () => 32,
  names: {
    encoder: ["encoder."],
    block: /^encoder\.denseblock\d\.denselayer\d+\./,
    norm: /\.norm\d?\.(?:weight|bias)$/,
    // What stands between two blocks goes with the next block's first layer.
    goesWith: (name) => {
      const stage = /^encoder\.transition([123])\./.exec(name)?.[1];
      return stage === undefined ? null : `encoder.denseblock${Number(stage) + 1}.denselayer1.`;
    },
    last: /^encoder\.norm5\./,
  },
  keyMaps: [
    {
      name: "densenet-3d",
      title: "a 3D DenseNet of MONAI, or its encoder under our own names",
      family: "densenet-3d",
      signs: [
        { name: "^(?:features\\.|encoder\\.)?conv0\\.weight$", axes: 5 },
        { name: "^(?:features\\.|encoder\\.)?denseblock1\\.denselayer1\\.layers\\.conv1\\.weight$", axes: 5 },
      ],
      rules: [
        {
          from: "^(?:features\\.|encoder\\.)?((?:conv0|norm[05]|denseblock[1-4]|transition[123])\\..+)$",
          to: "encoder.$1",
        },
      ],
    },
  ],
  blocks: ({ blocks }) => sumOf(blocks),
  widths: (spec) => blocksOf(spec).map(({ out }) => out),
  parameters,
  work,
  size: sizeOf,
  guess(shapes) {
    const [features, channels, ...kernel] = shapes.get("encoder.conv0.weight") ?? [];
    const growth = shapes.get("encoder.denseblock1.denselayer1.layers.conv2.weight")?.[0];
    const blocks = [1, 2, 3, 4].map((stage) =>
      countFrom(shapes, (layer) => `encoder.denseblock${stage}.denselayer${layer + 1}.layers.conv1.weight`),
    );
    if (features === undefined || channels === undefined || growth === undefined) return null;
    if (blocks.includes(0) || kernel.length !== 3 || kernel.some((edge) => edge !== 7)) return null;
    return {
      encoder: {
        family: "densenet-3d",
        channels,
        features,
        growth,
        blocks: blocks as DenseNetSpec["blocks"],
      },
      assumed: [],
    };
  },
} as const satisfies EncoderArchitecture<DenseNetSpec>;
