/** 3D ConvNeXt V2: `stem` 4x4x4, then downsampling 2, 2 and 1 between four stages. */
export interface ConvNeXtSpec {
  family: "convnext-v2-3d";
  /** Of the input. */
  channels: number;
  /** Blocks of the four stages. */
  depths: [number, number, number, number];
  /** Features of the four stages. */
  dims: [number, number, number, number];
  /** Stochastic depth of the last block while training; linear from 0 over the blocks. Default 0. */
  dropPath?: number;
}

/**
 * A 3D ResNet (He et al. 2016) of any depth as an encoder: ResNet-18 and -34 have basic blocks, the deeper ones bottlenecks.
 * With the usual stem its four stages have strides of 4, 8, 16 and 32.
 */
export interface ResNetEncoderSpec {
  family: "resnet-3d";
  /** Of the input. */
  channels: number;
  /** Channels after the first convolution; stages of bottlenecks have 4, 8, 16 and 32 times as many, of basic blocks 1, 2, 4 and 8. */
  features: number;
  /** Blocks of the four stages. */
  blocks: [number, number, number, number];
  /** Three convolutions, the middle one at a quarter of the features, or two. Default `"bottleneck"`. */
  block?: "bottleneck" | "basic";
  /** What brings more features to a shortcut: a convolution 1x1x1, or zeros (MedicalNet's ResNet-18 and -34). Default `"convolution"`. */
  shortcut?: "convolution" | "padding";
  /** Default: 7x7x7 at stride 2, then pooling. */
  stem?: {
    /** Edges of the first convolution along depth, height and width: odd numbers. */
    kernel: [number, number, number];
    stride: [number, number, number];
    /** Whether maxima of 3x3x3 at stride 2 follow. Default true. */
    pool?: boolean;
  };
}

/**
 * A vision transformer over slices: DINOv2 (Oquab et al. 2024) with register tokens, and ProViCNet's two axis tokens.
 * Its channels hold adjacent slices: a volume of one channel and an encoder of three make each slice be seen with its
 * neighbours.
 */
export interface DinoVitSpec {
  family: "dino-vit";
  /** Of the input: adjacent slices of each image. */
  channels: number;
  /** Edge of a patch in pixels; a slice's height and width are multiples of it. */
  patch: number;
  /** Features of a token. */
  embedDim: number;
  /** Transformer blocks. */
  depth: number;
  /** Attention heads; they divide `embedDim`. */
  heads: number;
  /** Register tokens. */
  registers: number;
  /** 2: tokens of the slice's position and of the number of slices; 0: none. */
  axisTokens: 0 | 2;
}

/** A feature map that a TorchScript module returns. */
export interface ScriptStage {
  channels: number;
  /** Voxels of the input from one position to the next: along every axis (of slices, height and width), or depth, height, width. */
  stride: number | [number, number, number];
}

/**
 * An encoder from a file: a module that PyTorch traced or scripted, and wrote by `torch.jit.save`. Such a module runs code:
 * it is loaded only where `trust` is said, with the SHA-256 of the file that is meant.
 */
export interface TorchScriptSpec {
  family: "torchscript";
  file: string;
  /** Of the file, as hexadecimal digits. */
  sha256: string;
  trust: true;
  /** Of the input. */
  channels: number;
  /** What it takes: `volume` [N, C, D, H, W], or `slices` [N, C, H, W], over which features are then the mean. */
  input: "volume" | "slices";
  /** How many it answers with: [N, features], or a map of them, whose mean over positions is taken. */
  features: number;
  /**
   * The feature maps that it returns in a list or tuple, in its order, the deepest last: what decoders stand on. The mean
   * over the last one's positions are the features. Left out: it returns the features alone.
   */
  stages?: ScriptStage[];
}

/**
 * The residual encoder of nnU-Net (Isensee et al. 2024; dynamic-network-architectures): a stem at the input's resolution, then
 * stages of residual blocks with instance norm, the first of which strides. Heads stand on its last four stages.
 */
export interface ResidualEncoderSpec {
  family: "residual-encoder-3d";
  /** Of the input. */
  channels: number;
  /** Of each stage, four at least. */
  features: number[];
  /** Residual blocks of each stage. */
  blocks: number[];
  /** Of each stage's first block: along all axes, or along depth, height and width. */
  strides: (number | [number, number, number])[];
  /** Edges of each stage's kernels, likewise: odd numbers. Default 3. */
  kernels?: (number | [number, number, number])[];
}

/**
 * The encoder of Swin UNETR (Hatamizadeh et al. 2022), as MONAI has it: patches of 2x2x2, four stages of attention in windows,
 * after each of which the tokens of 2x2x2 are merged. Its feature maps have strides of 4, 8, 16 and 32.
 */
export interface SwinUnetrSpec {
  family: "swin-unetr-3d";
  /** Of the input. */
  channels: number;
  /** Of a token of the first stage; doubled by each merging. */
  features: number;
  /** Blocks of the four stages. */
  depths: [number, number, number, number];
  /** Attention heads of the four stages; they divide the stage's features. */
  heads: [number, number, number, number];
  /** Edge of a window in tokens. Default 7. */
  window?: number;
  /**
   * Which corners of 2x2x2 tokens are merged: all eight, as MONAI does now, or as it did until version 1.3, with two of them
   * taken twice and two left out, as published weights were trained. Default `"complete"`.
   */
  merging?: "complete" | "repeated";
}

/** Specifications of encoders by family: those above, and what other architectures' files (`src/models/architectures/`) declare. */
export interface EncoderSpecs {
  "convnext-v2-3d": ConvNeXtSpec;
  "resnet-3d": ResNetEncoderSpec;
  "residual-encoder-3d": ResidualEncoderSpec;
  "swin-unetr-3d": SwinUnetrSpec;
  "dino-vit": DinoVitSpec;
  torchscript: TorchScriptSpec;
}

/** What makes features of volumes or slices. */
export type EncoderSpec = EncoderSpecs[keyof EncoderSpecs];

/**
 * What stands on an encoder. Every dense head answers to a volume at the volume's full spatial size. `conv1` and
 * `contrastive` stand on encoders that go slice by slice, `classifier`, `unetr` and `subpixel` on any family, the others on
 * encoders of volumes. One that returns no feature maps (a `torchscript` without `stages`) takes the `classifier` alone.
 */
export type HeadSpec =
  /** On the pooled features: a bottleneck with batch norm; on a `dino-vit` three linear layers of that width. */
  | { kind: "classifier"; classes: number; bottleneck?: number }
  | { kind: "upernet"; outputs: number; hidden?: number; auxiliary?: number }
  /** Sees the input at full size beside the encoder's features: the four stages, or a `dino-vit`'s tokens of four depths. */
  | { kind: "unetr"; outputs: number; featureSize?: number }
  /**
   * Doubles the depth: the input's first channel, each slice twice, plus what the head adds by a subpixel shuffle of
   * UNETR's features, or of a `dino-vit`'s upsampled patch tokens: [N, C, D, H, W] -> [N, outputs, 2 D, H, W].
   */
  | { kind: "subpixel"; outputs: number; featureSize?: number }
  /** Predicts the normalised voxels of masked patches; trained with the loss `masked-autoencoder`. */
  | { kind: "masked-autoencoder"; patch?: number; decoderDim?: number; decoderDepth?: number }
  /** ProViCNet's decoder: three times upsampling by 2 and a convolution, of 8 `width` (128), 4 `width` and `outputs` channels. */
  | { kind: "conv1"; outputs: number; width?: number }
  /**
   * ProViCNet as it is pretrained: the `conv1` head, which `forward` answers with, and beside it the contrastive head
   * on patch features, which `project` answers with. Sizes left out are the published ones: 2048, 256, 65536.
   */
  | { kind: "contrastive"; outputs: number; hidden?: number; bottleneck?: number; prototypes?: number };

/** A 3D U-Net: two convolutions a level, instance norm, leaky ReLU; `depthScale` 2 ends in a subpixel shuffle. */
export interface UNetSpec {
  family: "unet-3d";
  /** Of the input. */
  channels: number;
  /** Channels of the answer. */
  outputs: number;
  /** Channels of the first level; doubled at each level below. */
  features: number;
  /** Resolutions, each half of the one above. */
  levels: number;
  /** How many times as many slices the answer has. Default 1. */
  depthScale?: 1 | 2;
}

/**
 * TransUNet (Chen et al. 2021) in 3D: residual blocks and max pooling, a transformer over the coarsest level, skips to
 * the decoder. Its tokens have `features` x 2^(`levels` - 1) features.
 */
export interface TransUNetSpec extends Omit<UNetSpec, "family"> {
  family: "transunet-3d";
  /** Transformer blocks. */
  depth: number;
  /** Attention heads; they divide the coarsest level's features. */
  heads: number;
}

/**
 * A vision transformer (Dosovitskiy et al. 2021) that reconstructs each 3D patch of the answer from its token: the
 * input's first channel plus what the network adds.
 */
export interface VitSpec {
  family: "vit-3d";
  /** Of the input. */
  channels: number;
  /** Channels of the answer. */
  outputs: number;
  /** Depth, height and width of a patch; volumes are padded to whole ones by replication. */
  patch: [number, number, number];
  /** Features of a token. */
  embedDim: number;
  /** Transformer blocks. */
  depth: number;
  /** Attention heads; they divide `embedDim`. */
  heads: number;
}

/**
 * The U-Net of denoising diffusion (Ho et al. 2020) in 3D, which predicts noise. The last of its `channels` is constant
 * and holds the time step t / T in [0, 1]; its first voxel is read.
 */
export interface DiffusionUNetSpec {
  family: "diffusion-unet-3d";
  /** Those of the image and the time: at least 2. */
  channels: number;
  /** Channels of the answer. */
  outputs: number;
  /** Channels of the first level, an even number; doubled at each level below. */
  features: number;
  /** Resolutions, each half of the one above. */
  levels: number;
}

/** A 3D ResNet (He et al. 2016) of bottleneck blocks, a classifier: `features` 64 and `blocks` [3, 4, 6, 3] are ResNet-50. */
export interface ResNetSpec {
  family: "resnet-3d";
  /** Of the input. */
  channels: number;
  /** Of the answer. */
  classes: number;
  /** Channels after the first convolution. */
  features: number;
  /** Bottleneck blocks of the four stages. */
  blocks: [number, number, number, number];
}

/** A specialised model, which has no encoder that could come from elsewhere. */
export type ModelSpec = UNetSpec | TransUNetSpec | VitSpec | DiffusionUNetSpec | ResNetSpec;

/**
 * Intensities as a softmax over `bins` of equal width from `low` to `high`: the answer is the expectation of the bins'
 * centres, and so is what the loss sees. For networks that answer voxel by voxel, with `outputs` 1.
 */
export interface IntensityOutput {
  /** At least 2. */
  bins: number;
  /** Where the first bin begins and the last one ends, in the units of the images. */
  low: number;
  high: number;
  /** The expectation is a difference: it is added to the first channel of the input. Of volumes alone. Default false. */
  addedToInput?: boolean;
}

/** A whole network: an encoder, alone or with a head, or a specialised model. */
export type NetworkSpec = ({ encoder: EncoderSpec; head?: HeadSpec } | { model: ModelSpec }) & {
  output?: IntensityOutput;
};
