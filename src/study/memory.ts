import type { Precision } from "../native/network.js";
import type {
  ConvNeXtSpec,
  DinoVitSpec,
  EncoderSpec,
  ModelSpec,
  NetworkSpec,
} from "../native/network-spec.js";

/** What a worker process holds before it has a network: Node, LibTorch and its threads; on a GPU, CUDA's context. */
export const baseBytes = 5e8;

const bytesPerValue = 4;

/** Parameters of a part of a network, and values that training keeps for the way back through it. */
interface Size {
  parameters: number;
  kept: number;
  /** Of what is kept, values that checkpointing computes a second time instead: blocks then keep their input alone. */
  recomputed: number;
  /** Of what is kept, values that bfloat16 measurably makes smaller. */
  narrowed: number;
  /** Values alive at once when nothing is kept. */
  transient: number;
}

const nothing: Size = { parameters: 0, kept: 0, recomputed: 0, narrowed: 0, transient: 0 };

/** How training is computed, as far as its memory goes. */
export interface Execution {
  precision: Precision;
  checkpointing: boolean;
}

/**
 * What bfloat16 leaves of the values that a transformer's blocks keep, as norms and softmax stay float32: `provicnet-small`
 * with two volumes of 16 x 224 x 224 takes 3.65 GB a step in float32 and 2.21 GB in bfloat16. Nothing is taken off for
 * convolutions: there a step of UperNet on `profound-tiny` takes from 13 % less (96 x 144 x 144) to 27 % more (64 x 96 x 96).
 * All on a CPU, by `scripts/step-memory.mjs`; on a GPU it is not measured.
 */
const bfloat16Share = 0.6;
/** Products in bfloat16 take copies of the weights. */
const bfloat16Bytes = 2;

/**
 * Roughly the most memory that working on a cell takes, in bytes: the process itself, the weights, for what is trained
 * the gradient and AdamW's two moments, and what training keeps for the way back. Closed form; it decides which cells
 * run side by side, nothing else.
 *
 * @param voxels height x width x depth of one input, after the task
 * @param execution a second computation of blocks and bfloat16, as far as they measurably save memory
 * @param trained what training changes: which part of the encoder's blocks, from the last on, and whether the rest
 */
export function peakBytes(
  network: NetworkSpec,
  voxels: number,
  batchSize: number,
  trained: { encoder: number; head: boolean },
  { precision, checkpointing }: Execution,
): number {
  const { encoder, rest } = sizesOf(network, voxels);
  const narrow = precision === "bfloat16";
  const keptOf = ({ kept, recomputed, narrowed }: Size) =>
    kept -
    (checkpointing ? recomputed : 0) -
    // The inputs that checkpointing keeps stay float32.
    (narrow && !checkpointing ? (1 - bfloat16Share) * narrowed : 0);
  const of = (number: (size: Size) => number) =>
    trained.encoder * number(encoder) + (trained.head ? number(rest) : 0);
  const weights = encoder.parameters + rest.parameters;
  // Going forward or back, one layer's values and their gradients are alive beside what is kept.
  const transient = 2 * Math.max(encoder.transient, rest.transient);
  const values = weights + 3 * of(({ parameters }) => parameters) + batchSize * (of(keptOf) + transient);
  return baseBytes + bytesPerValue * values + (narrow ? bfloat16Bytes * weights : 0);
}

function sizesOf(network: NetworkSpec, voxels: number): { encoder: Size; rest: Size } {
  if ("encoder" in network) {
    return { encoder: encoderSize(network.encoder, voxels), rest: headSize(network, voxels) };
  }
  return { encoder: nothing, rest: modelSize(network.model, voxels) };
}

function encoderSize(encoder: EncoderSpec, voxels: number): Size {
  switch (encoder.family) {
    case "convnext-v2-3d":
      return convolutionalSize(encoder, voxels);
    case "resnet-3d":
      return resNetSize(encoder, voxels);
    case "dino-vit":
      return transformerSize(encoder, voxels);
  }
}

/** Features of the maps that a head stands on. */
function widthsOf(encoder: EncoderSpec): readonly number[] {
  switch (encoder.family) {
    case "convnext-v2-3d":
      return encoder.dims;
    case "resnet-3d":
      return encoder.blocks.map((_, stage) => 4 * encoder.features * 2 ** stage);
    case "dino-vit":
      return [encoder.embedDim];
  }
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Positions of stage `index`: the stem divides each axis by 4, then twice by 2, then not at all. */
const positions = (voxels: number, index: number): number => voxels / 64 / 8 ** Math.min(index, 2);

function convolutionalSize({ channels, depths, dims }: ConvNeXtSpec, voxels: number): Size {
  const parameters = sum(
    depths.map((depth, index) => {
      const dim = dims[index] as number;
      const downsampling = index === 0 ? 64 * channels * dim : 8 * (dims[index - 1] as number) * dim;
      return downsampling + depth * (343 * dim + 8 * dim ** 2);
    }),
  );
  // A block keeps its input, the depthwise convolution, the norm, and three times the fourfold width.
  const stage = (index: number) => positions(voxels, index) * (dims[index] as number) * 15;
  const kept = sum(depths.map((depth, index) => depth * stage(index)));
  return {
    parameters,
    kept,
    recomputed: (14 / 15) * kept,
    narrowed: 0,
    transient: Math.max(...depths.map((_, index) => stage(index))),
  };
}

function transformerSize({ channels, patch, embedDim, depth }: DinoVitSpec, voxels: number): Size {
  const embedding = {
    ...nothing,
    parameters: channels * patch ** 2 * embedDim,
    kept: channels * voxels,
    transient: channels * voxels,
  };
  return together(embedding, blocksSize(voxels / patch ** 2, embedDim, depth));
}

function headSize({ encoder, head }: Extract<NetworkSpec, { encoder: unknown }>, voxels: number): Size {
  const features = widthsOf(encoder);
  const width = sum(features);
  switch (head?.kind) {
    case undefined:
      return nothing;
    case "upernet": {
      const hidden = head.hidden ?? 512;
      const finest = positions(voxels, 0);
      return {
        ...nothing,
        // The pyramid's 3x3x3 over the last stage and its four poolings, one a lateral level, the fusion of four levels.
        parameters: 27 * hidden * (11 * hidden + (features.at(-1) as number)) + hidden * width,
        kept: 20 * hidden * finest + 3 * head.outputs * voxels,
        transient: Math.max(4 * hidden * finest, head.outputs * voxels),
      };
    }
    case "unetr":
    case "subpixel": {
      const size = head.featureSize ?? 16;
      return {
        ...nothing,
        parameters: 27 * size * width * 8,
        // Four residual blocks at full size, and as much again at all coarser ones.
        kept: 40 * size * voxels,
        transient: 6 * size * voxels,
      };
    }
    case "masked-autoencoder": {
      const { decoderDim: dim = 512, decoderDepth: depth = 1 } = head;
      const patches = voxels / 4096;
      return {
        ...nothing,
        parameters: depth * (343 * dim + 8 * dim ** 2) + dim * 4096 * encoder.channels,
        kept: patches * (15 * dim * depth + 4 * 4096 * encoder.channels),
        recomputed: patches * 14 * dim * depth,
        transient: patches * 4096 * encoder.channels,
      };
    }
    case "conv1":
    case "contrastive": {
      if (encoder.family !== "dino-vit") return nothing;
      // Convolutions of 8 and 4 times the width and of `outputs` channels at 2, 4 and 8 times the grid of patches.
      const width = head.kind === "conv1" ? (head.width ?? 16) : 16;
      const patches = voxels / encoder.patch ** 2;
      const kept = patches * (96 * width + 64 * head.outputs) * 4 + 3 * head.outputs * voxels;
      const {
        hidden = 2048,
        bottleneck = 256,
        prototypes = 65536,
      } = head.kind === "contrastive" ? head : noProjection;
      return {
        ...nothing,
        parameters:
          72 * width * (encoder.embedDim + 4 * width) +
          hidden * (encoder.embedDim + hidden + bottleneck) +
          bottleneck * prototypes,
        kept,
        transient: kept / 3,
      };
    }
    default:
      return { ...nothing, parameters: 1000 * width, kept: width, transient: width };
  }
}

const noProjection = { hidden: 0, bottleneck: 0, prototypes: 0 };

function modelSize(model: ModelSpec, voxels: number): Size {
  switch (model.family) {
    case "unet-3d":
      return uNetSize(model, voxels);
    case "transunet-3d": {
      const width = model.features * 2 ** (model.levels - 1);
      return together(
        uNetSize(model, voxels),
        blocksSize(voxels / 8 ** (model.levels - 1), width, model.depth),
      );
    }
    case "vit-3d": {
      const { channels, outputs, patch, embedDim, depth } = model;
      const voxelsOfPatch = patch[0] * patch[1] * patch[2];
      const ends = {
        ...nothing,
        parameters: voxelsOfPatch * (channels + outputs) * embedDim,
        kept: (channels + 2 * outputs) * voxels,
        transient: outputs * voxels,
      };
      return together(ends, blocksSize(voxels / voxelsOfPatch, embedDim, depth));
    }
    case "diffusion-unet-3d":
      // Two residual blocks where the U-Net has two convolutions, each with its embedding of the time.
      return together(uNetSize(model, voxels), uNetSize(model, voxels));
    case "resnet-3d":
      return resNetSize(model, voxels);
  }
}

const together = (one: Size, other: Size): Size => ({
  parameters: one.parameters + other.parameters,
  kept: one.kept + other.kept,
  recomputed: one.recomputed + other.recomputed,
  narrowed: one.narrowed + other.narrowed,
  transient: Math.max(one.transient, other.transient),
});

/** A block keeps its norms, queries, keys and values, attention, projection, and twice the fourfold width. */
const blocksSize = (tokens: number, width: number, depth: number): Size => ({
  parameters: depth * 12 * width ** 2,
  kept: depth * tokens * width * 16,
  recomputed: depth * tokens * width * 15,
  narrowed: depth * tokens * width * 16,
  transient: tokens * width * 16,
});

/** Bottlenecks: each keeps three convolutions with norm and activation, the last at the full width. */
function resNetSize(
  { channels, features, blocks }: { channels: number; features: number; blocks: readonly number[] },
  voxels: number,
): Size {
  const stages = blocks.map((count, stage) => {
    // The width that leaves a bottleneck is four times the one inside.
    const inner = features * 2 ** stage;
    const values = (18 * inner * voxels) / 64 / 8 ** stage;
    return { parameters: count * 35 * inner ** 2, kept: count * values };
  });
  const stem = (3 * features * voxels) / 8;
  return {
    ...nothing,
    parameters: 343 * channels * features + sum(stages.map(({ parameters }) => parameters)),
    kept: stem + sum(stages.map(({ kept }) => kept)),
    transient: stem,
  };
}

function uNetSize(
  { features, levels, channels }: { features: number; levels: number; channels: number },
  voxels: number,
): Size {
  const widths = Array.from({ length: levels }, (_, level) => features * 2 ** level);
  return {
    ...nothing,
    parameters: 27 * sum(widths.map((width) => 6 * width ** 2)),
    // Two convolutions down and two up, each with its norm and activation, and the joined features.
    kept: sum(widths.map((width, level) => (14 * width * voxels) / 8 ** level)) + channels * voxels,
    transient: 4 * features * voxels,
  };
}
