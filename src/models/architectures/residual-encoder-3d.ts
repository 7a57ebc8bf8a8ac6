import { z } from "zod";
import { productOf, sumOf } from "../../common/numbers.js";
import { section } from "../../common/validation.js";
import type { ResidualEncoderSpec } from "../../native/network-spec.js";
import { nnunetResidualEncoder } from "../checkpoints/key-maps/residual-encoder.js";
import { countFrom, type EncoderArchitecture, encoderOfVolumes, type Shapes } from "./architecture.js";
import { nothing, type Size } from "./size.js";
import { size } from "./sizes.js";
import {
  coarser,
  convolution,
  type Extents,
  norm,
  paddedTo,
  pass,
  times,
  volumeOf,
  type Work,
} from "./work.js";

type Triple = readonly [number, number, number];

const tripleOf = (entry: number | Triple): Triple =>
  typeof entry === "number" ? [entry, entry, entry] : entry;
const kernelOf = ({ kernels }: ResidualEncoderSpec, stage: number): Triple =>
  kernels === undefined ? [3, 3, 3] : tripleOf(kernels[stage] as number | Triple);

/** Of each stage: features that come in and go out, blocks, elements of a kernel, and voxels of the input to one of it. */
function stagesOf(spec: ResidualEncoderSpec) {
  let voxels = 1;
  return spec.features.map((out, stage) => {
    const strides = productOf(tripleOf(spec.strides[stage] as number | Triple));
    voxels *= strides;
    const into = spec.features[Math.max(0, stage - 1)] as number;
    return {
      into,
      out,
      blocks: spec.blocks[stage] as number,
      kernel: productOf(kernelOf(spec, stage)),
      voxels,
    };
  });
}

/** Weights of a stage, which are also its multiplications at a position: two convolutions a block, and the first's shortcut. */
const weightsOf = ({ into, out, blocks, kernel }: ReturnType<typeof stagesOf>[number]): number =>
  kernel * (into * out + (2 * blocks - 1) * out * out) + (into === out ? 0 : into * out);

function parameters(spec: ResidualEncoderSpec): number {
  return (
    productOf(kernelOf(spec, 0)) * spec.channels * (spec.features[0] as number) +
    sumOf(stagesOf(spec).map(weightsOf))
  );
}

/** Residual blocks with instance norms, of which a stage's first strides; their shortcut is averaged where it does. */
function work(spec: ResidualEncoderSpec, extents: Extents): Work {
  const strides = spec.strides.map((entry): Extents => {
    const [depth, height, width] = tripleOf(entry);
    return [height, width, depth];
  });
  const whole = strides.reduce<Extents>(
    ([h, w, d], stride) => [h * stride[0], w * stride[1], d * stride[2]],
    [1, 1, 1],
  );
  let from = paddedTo(extents, whole);
  const first = spec.features[0] as number;
  const stem = volumeOf(from);
  return [
    pass(2 * stem * spec.channels),
    convolution(stem, spec.channels, first, productOf(kernelOf(spec, 0))),
    norm(stem, first),
    ...stagesOf(spec).flatMap(({ into, out, blocks, kernel }, stage) => {
      const to = coarser(from, strides[stage] as Extents);
      const [fine, at] = [volumeOf(from), volumeOf(to)];
      from = to;
      const block = (before: number, width: number): Work => [
        convolution(at, width, out, kernel, before),
        norm(at, out),
        convolution(at, out, out, kernel),
        ...(before === at ? [] : [pass((before + at) * width)]),
        ...(width === out ? [] : [convolution(at, width, out, 1), norm(at, out)]),
        pass(4 * at * out),
      ];
      return [...block(fine, into), ...times(blocks - 1, block(at, out))];
    }),
  ];
}

/** Each convolution keeps what it gives, and its norm and activation what they give. */
function sizeOf(spec: ResidualEncoderSpec, voxels: number): Size {
  const stem = 3 * (spec.features[0] as number) * voxels;
  const stages = stagesOf(spec).map(({ out, blocks, voxels: each }) => (blocks * 6 * out * voxels) / each);
  return { ...nothing, parameters: parameters(spec), kept: stem + sumOf(stages), transient: stem };
}

const perStage = <Item extends z.ZodType>(item: Item) => z.array(item).min(4).max(12);
const triple = (largest: number) =>
  z.union([size.max(largest), z.tuple([size.max(largest), size.max(largest), size.max(largest)])]);

/** The first convolution of a stage's first block. */
const firstOf = (shapes: Shapes, stage: number) =>
  shapes.get(`encoder.stages.${stage}.blocks.0.conv1.conv.weight`);

/** The residual encoder of nnU-Net (Isensee et al. 2024): the sizes of its stages, from the input's resolution on. */
export const residualEncoder = {
  family: "residual-encoder-3d",
  schema: section({
    family: z.literal("residual-encoder-3d"),
    channels: size,
    features: perStage(size),
    blocks: perStage(size.max(1000)),
    strides: perStage(triple(8)),
    kernels: perStage(triple(15)).optional(),
  }).superRefine(({ features, ...others }, context) => {
    for (const [field, list] of Object.entries(others))
      if (Array.isArray(list) && list.length !== features.length)
        context.addIssue({
          code: "custom",
          path: [field],
          message: `expected ${features.length} of them, as many as there are features`,
        });
  }),
  presets: {
    /** ResEnc L, as the checkpoints of nnssl and OpenMind have it. */
    "nnunet-resenc-l": {
      family: "residual-encoder-3d",
      channels: 1,
      features: [32, 64, 128, 256, 320, 320],
      blocks: [1, 3, 4, 6, 6, 6],
      strides: [1, 2, 2, 2, 2, 2],
    },
    /** For two CPU cores. */
    "nnunet-resenc-demo": {
      family: "residual-encoder-3d",
      channels: 1,
      features: [4, 8, 16, 32, 40, 40],
      blocks: [1, 1, 1, 1, 1, 1],
      strides: [1, 2, 2, 2, 2, 2],
    },
  },
  ...encoderOfVolumes,
  names: {
    encoder: ["encoder."],
    block: /^encoder\.stages\.\d+\.blocks\.\d+\./,
    norm: /\.norm\.(?:weight|bias)$/,
  },
  keyMaps: [nnunetResidualEncoder],
  blocks: ({ blocks }) => sumOf(blocks),
  widths: ({ features }) => features.slice(-4),
  parameters,
  work,
  size: sizeOf,
  guess(shapes) {
    const stages = countFrom(shapes, (stage) => `encoder.stages.${stage}.blocks.0.conv1.conv.weight`);
    const channels = shapes.get("encoder.stem.convs.0.conv.weight")?.[1];
    const firsts = Array.from({ length: stages }, (_, stage) => firstOf(shapes, stage) as number[]);
    if (channels === undefined || stages < 4 || firsts.some(({ length }) => length !== 5)) return null;
    const kernels = firsts.map((shape) => shape.slice(2) as [number, number, number]);
    const usual = kernels.every((kernel) => kernel.every((edge) => edge === 3));
    return {
      encoder: {
        family: "residual-encoder-3d",
        channels,
        features: firsts.map(([features]) => features as number),
        blocks: firsts.map((_, stage) =>
          countFrom(shapes, (block) => `encoder.stages.${stage}.blocks.${block}.conv1.conv.weight`),
        ),
        // An axis whose kernel is flat is not divided; the first stage never is.
        strides: kernels.map((kernel, stage) => {
          const strides = kernel.map((edge) => (stage === 0 || edge === 1 ? 1 : 2));
          return new Set(strides).size === 1 ? (strides[0] as number) : (strides as [number, number, number]);
        }),
        ...(usual ? {} : { kernels }),
      },
      assumed: ["strides"],
    };
  },
} as const satisfies EncoderArchitecture<ResidualEncoderSpec>;
