import { expected, TransferLimitsError } from "../common/errors.js";
import type { NetworkHandle, ParameterInfo, TrainerHandle } from "./addon.js";
import { addon, call, settle } from "./load.js";
import { readSafetensors, writeSafetensors } from "./safetensors.js";
import { Tensor } from "./tensor.js";

export type { ParameterInfo } from "./addon.js";

/** 3D ConvNeXt V2: `stem` 4x4x4, then downsampling 2, 2 and 1 between four stages. */
export interface ConvNeXtSpec {
  family: "convnext-v2-3d";
  channels: number;
  depths: [number, number, number, number];
  dims: [number, number, number, number];
  /** Stochastic depth of the last block while training; linear from 0 over the blocks. Default 0. */
  dropPath?: number;
}

/** A 3D ResNet (He et al. 2016) of bottleneck blocks as an encoder: its four stages have strides of 4, 8, 16 and 32. */
export interface ResNetEncoderSpec {
  family: "resnet-3d";
  channels: number;
  /** Channels after the first convolution; the stages have 4, 8, 16 and 32 times as many. */
  features: number;
  /** Bottleneck blocks of the four stages. */
  blocks: [number, number, number, number];
}

/**
 * A vision transformer over slices: DINOv2 (Oquab et al. 2024) with register tokens, and ProViCNet's two axis tokens.
 * Its channels hold adjacent slices: a volume of one channel and an encoder of three make each slice be seen with its
 * neighbours.
 */
export interface DinoVitSpec {
  family: "dino-vit";
  channels: number;
  /** Edge of a patch in pixels; a slice's height and width are multiples of it. */
  patch: number;
  embedDim: number;
  /** Transformer blocks. */
  depth: number;
  /** Attention heads; they divide `embedDim`. */
  heads: number;
  registers: number;
  /** 2: tokens of the slice's position and of the number of slices; 0: none. */
  axisTokens: 0 | 2;
}

export type EncoderSpec = ConvNeXtSpec | ResNetEncoderSpec | DinoVitSpec;

/**
 * What stands on an encoder. Every dense head answers to a volume at the volume's full spatial size. `conv1` and
 * `contrastive` stand on a `dino-vit`, `classifier` and `subpixel` on any family, the others on a `convnext-v2-3d` or
 * `resnet-3d`.
 */
export type HeadSpec =
  /** On the pooled features: a bottleneck with batch norm; on a `dino-vit` three linear layers of that width. */
  | { kind: "classifier"; classes: number; bottleneck?: number }
  | { kind: "upernet"; outputs: number; hidden?: number; auxiliary?: number }
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
  channels: number;
  outputs: number;
  /** Channels of the first level; doubled at each level below. */
  features: number;
  levels: number;
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
  channels: number;
  outputs: number;
  /** Depth, height and width of a patch; volumes are padded to whole ones by replication. */
  patch: [number, number, number];
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
  outputs: number;
  /** Channels of the first level, an even number; doubled at each level below. */
  features: number;
  levels: number;
}

/** A 3D ResNet (He et al. 2016) of bottleneck blocks, a classifier: `features` 64 and `blocks` [3, 4, 6, 3] are ResNet-50. */
export interface ResNetSpec {
  family: "resnet-3d";
  channels: number;
  classes: number;
  /** Channels after the first convolution. */
  features: number;
  /** Bottleneck blocks of the four stages. */
  blocks: [number, number, number, number];
}

export type ModelSpec = UNetSpec | TransUNetSpec | VitSpec | DiffusionUNetSpec | ResNetSpec;

/**
 * Intensities as a softmax over `bins` of equal width from `low` to `high`: the answer is the expectation of the bins'
 * centres, and so is what the loss sees. For networks that answer voxel by voxel, with `outputs` 1.
 */
export interface IntensityOutput {
  bins: number;
  low: number;
  high: number;
}

/** A whole network: an encoder, alone or with a head, or a specialised model. */
export type NetworkSpec = ({ encoder: EncoderSpec; head?: HeadSpec } | { model: ModelSpec }) & {
  output?: IntensityOutput;
};

/** A loss, with its own settings. Predictions are logits where the task is discrete. */
export type LossSpec =
  /** 1 - Tversky index of sigmoid(logits), per sample then averaged (Salehi 2017); alpha weighs false positives, beta false negatives. */
  | { kind: "tversky"; alpha: number; beta: number; smooth?: number }
  | { kind: "l1" }
  /** Class-weighted; the target is int64 [N]. */
  | { kind: "cross-entropy"; weights?: number[] }
  /** 1 - SSIM (Gaussian 11, sigma 1.5). */
  | { kind: "ssim"; dataRange: number }
  | { kind: "l1-ssim"; dataRange: number; ssimWeight: number }
  /** Mean squared error on masked patches; the target is the mask, uint8 [N, patches], 1 = masked. */
  | { kind: "masked-autoencoder"; normaliseTargets?: boolean }
  /**
   * Supervised contrast of a `dino-vit`'s patches (Khosla 2020); the target is the lesion mask, uint8 [N, 1, D, H, W]. A
   * patch is lesion where more than `lesionShare` (0.5) of it is; at most `patches` (1024) take part in a step, as many
   * of lesions as of background.
   */
  | ({ kind: "patch-contrast" } & PatchContrastSettings)
  /**
   * `distillationWeight` x the cross-entropy of a teacher's and a student's class tokens (Caron 2021), plus
   * `contrastWeight` x the patch contrast of the global views; for `Trainer.distil` alone.
   */
  | ({
      kind: "self-distillation";
      studentTemperature?: number;
      /** Of the teacher's mean output, which is taken away from it: how much of itself it keeps in a step. */
      centreMomentum?: number;
      distillationWeight?: number;
      contrastWeight?: number;
    } & PatchContrastSettings);

interface PatchContrastSettings {
  temperature?: number;
  lesionShare?: number;
  patches?: number;
}

export interface TrainerOptions {
  loss: LossSpec;
  /** Decoupled weight decay of matrices and kernels; vectors (norms, biases, GRN) have none. Default 0.01. */
  weightDecay?: number;
  betas?: [number, number];
  /** Clip the gradient's global norm to this. Default: no clipping. */
  gradientClip?: number;
  /** Only parameters whose name starts with one of these are trained. Default: all. */
  trainable?: string[];
  /** What a parameter's learning rate is multiplied with, by the parameter's full name. Default: 1 for each. */
  rates?: Record<string, number>;
  /** Weight of the auxiliary head's loss, where the network has one. Default 0.4. */
  auxiliaryWeight?: number;
}

/**
 * What a step of self-distillation sees of some slices: global views, which student and teacher see, and local ones for
 * the student alone. Images are ordered view by view: one view of every slice, then the next.
 */
export interface SliceViews extends Disposable {
  /** How many slices. */
  slices: number;
  /** [views x slices, C, H, W], C the encoder's channels. */
  global: Tensor;
  /** [views x slices, 1, H, W], above 0 in lesions. */
  lesion: Tensor;
  /** [views x slices, C, h, w]; null: none. */
  local: Tensor | null;
  /** Where the slices lie, [views x slices, 2], as in `SliceOptions`; null for an encoder without axis tokens. */
  globalPosition: Tensor | null;
  localPosition: Tensor | null;
}

/** What follows a schedule in self-distillation. */
export interface DistillationSchedule {
  /** How much of itself the teacher keeps in the step; the rest comes from the student. */
  momentum: number;
  /** Divides the teacher's centred outputs before their softmax. */
  teacherTemperature: number;
  /** The prototypes stay as they are in this step. Default false. */
  prototypesFrozen?: boolean;
}

/**
 * Encoder features of volumes: `pooled` [N, features], and the feature maps: four of a convolutional encoder, one of a
 * vision transformer, its patch tokens on their grid, slice by slice [N, D, features, H / patch, W / patch].
 */
export interface VolumeFeatures extends Disposable {
  pooled: Tensor;
  stages: Tensor[];
}

/** Encoder features of slices; `pooled` [N, features] is the mean of the patch tokens. */
export interface SliceFeatures extends VolumeFeatures {
  /** After the final norm: `cls` [N, features], `patches` [N, patches, features], `axis` [N, axis tokens, features]. */
  tokens: { cls: Tensor; patches: Tensor; axis: Tensor };
}

/** Where slices lie: [N, 2], the index of the slice from 0 and the number of slices; for an encoder with axis tokens. */
export interface SliceOptions {
  position?: Tensor;
}

/** Features that dispose of their tensors. */
export const volumeFeatures = (pooled: Tensor, stages: Tensor[]): VolumeFeatures => ({
  pooled,
  stages,
  [Symbol.dispose]() {
    for (const tensor of [pooled, ...stages]) tensor.dispose();
  },
});

const featureHandles = ({ pooled, stages }: VolumeFeatures) => ({
  pooled: pooled.handle,
  stages: stages.map(({ handle }) => handle),
});

/** A network on a device. Work is queued in order; every method answers with a promise. */
export class Network implements Disposable {
  /** @internal */
  readonly handle: NetworkHandle;
  readonly spec: NetworkSpec;
  readonly device: string;

  protected constructor(handle: NetworkHandle, spec: NetworkSpec, device: string) {
    this.handle = handle;
    this.spec = spec;
    this.device = device;
  }

  /** Builds the network with fresh weights drawn from `seed`. */
  static async build(spec: NetworkSpec, options: { device?: string; seed?: number } = {}): Promise<Network> {
    const device = options.device ?? "cpu";
    return new this(await settle(addon().networkCreate(spec, device, options.seed ?? 0)), spec, device);
  }

  /** Every parameter and buffer: name, shape and type, in the order of the published code. */
  get parameters(): ParameterInfo[] {
    return call(() => addon().networkParameters(this.handle));
  }

  /**
   * Encoder features of volumes [N, C, D, H, W]: `pooled` [N, features] after the final norm, and the four stages.
   * The caller disposes all of them.
   *
   * A vision transformer takes the volume slice by slice, each with channels / C adjacent ones (those beyond the volume
   * repeat its first or last) and its position; slices are enlarged to a multiple of the patch. `pooled` is then the
   * mean over patch tokens and slices.
   */
  async embed(input: Tensor): Promise<VolumeFeatures>;
  /**
   * Features of slices [N, C, H, W] by a vision transformer, H and W multiples of its patch. The caller disposes all of
   * them, the tokens too.
   */
  async embed(input: Tensor, options: SliceOptions): Promise<SliceFeatures>;
  async embed(input: Tensor, options?: SliceOptions): Promise<VolumeFeatures | SliceFeatures> {
    if (options !== undefined && input.shape.length !== 4)
      throw expected("slices [N, C, H, W] where options are given", "the input", input.shape);
    if (options === undefined && input.shape.length === 4)
      throw expected("a volume [N, C, D, H, W], or slices and { position },", "the input", input.shape);
    const { pooled, stages, tokens } = await settle(
      addon().networkEmbed(this.handle, input.handle, options?.position?.handle ?? null),
    );
    const features = volumeFeatures(
      new Tensor(pooled),
      stages.map((stage) => new Tensor(stage)),
    );
    if (tokens === undefined) return features;
    const { cls, patches, axis } = tokens;
    const ofSlices = { cls: new Tensor(cls), patches: new Tensor(patches), axis: new Tensor(axis) };
    return {
      ...features,
      tokens: ofSlices,
      [Symbol.dispose]() {
        features[Symbol.dispose]();
        for (const tensor of Object.values(ofSlices)) tensor.dispose();
      },
    };
  }

  /**
   * The network's answer to volumes [N, C, D, H, W], or to slices [N, C, H, W] with their position, in evaluation mode
   * and without gradients. `conv1` answers to slices at 8 / patch of their size, to volumes at their own, slice by slice.
   */
  async forward(input: Tensor, { position }: SliceOptions = {}): Promise<Tensor> {
    return new Tensor(
      await settle(addon().networkForward(this.handle, input.handle, position?.handle ?? null)),
    );
  }

  /**
   * What `forward` answers to volumes, from the encoder's features of them: the head alone.
   *
   * @throws `BAD_INPUT` for a specialised model, which has no encoder, and for features of other volumes
   */
  async decode(features: VolumeFeatures, input: Tensor): Promise<Tensor> {
    return new Tensor(
      await settle(addon().networkDecode(this.handle, featureHandles(features), input.handle)),
    );
  }

  /** On how many volumes the encoder has been run so far, for features, answers or steps of training. */
  get embedded(): number {
    return call(() => addon().networkEmbedded(this.handle));
  }

  /** The contrastive head's answer [M, prototypes] to features [M, embedDim], such as patch tokens. */
  async project(features: Tensor): Promise<Tensor> {
    return new Tensor(await settle(addon().networkProject(this.handle, features.handle)));
  }

  /** Replaces parameters and buffers by name. @throws `BAD_CHECKPOINT` on an unknown name or another shape. */
  async assign(tensors: Record<string, Tensor>): Promise<void> {
    const names = Object.keys(tensors);
    await settle(
      addon().networkAssign(
        this.handle,
        names,
        names.map((name) => (tensors[name] as Tensor).handle),
      ),
    );
  }

  /** Copies of all parameters and buffers by name; the caller disposes them. */
  async state(): Promise<Record<string, Tensor>> {
    const entries = await settle(addon().networkState(this.handle));
    return Object.fromEntries(entries.map(({ name, tensor }) => [name, new Tensor(tensor)]));
  }

  /** Writes all parameters and buffers as safetensors, atomically. */
  async save(path: string, metadata: Record<string, string> = {}): Promise<void> {
    const state = await this.state();
    try {
      await writeSafetensors(path, state, metadata);
    } finally {
      for (const tensor of Object.values(state)) tensor.dispose();
    }
  }

  /**
   * Brings back what `save` wrote: every parameter and buffer, under the same name.
   *
   * @throws `BAD_CHECKPOINT` when the file cannot be read, lacks a parameter, or holds one of another shape
   */
  async restore(path: string): Promise<void> {
    const file = await readSafetensors(path);
    const held = new Set(file.names);
    const missing = this.parameters.filter(({ name }) => !held.has(name)).map(({ name }) => name);
    if (missing.length > 0) {
      throw new TransferLimitsError(
        "BAD_CHECKPOINT",
        `${path} lacks ${missing.length} of the network's parameters, such as ${missing[0]}`,
      );
    }
    const state: Record<string, Tensor> = {};
    try {
      for (const name of file.names) state[name] = await file.tensor(name);
      await this.assign(state);
    } finally {
      for (const tensor of Object.values(state)) tensor.dispose();
    }
  }

  dispose(): void {
    this.handle.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Trains a network step by step with AdamW. The schedule is the caller's: each step names its learning rate. */
export class Trainer implements Disposable {
  /** @internal */
  readonly handle: TrainerHandle;

  private constructor(handle: TrainerHandle) {
    this.handle = handle;
  }

  /**
   * @param teacher for the loss `self-distillation`: a network built as `network`, whose weights become a copy of the
   * network's and follow them from then on. The trainer saves and restores them with its own state.
   */
  static async create(network: Network, options: TrainerOptions, teacher?: Network): Promise<Trainer> {
    return new Trainer(await settle(addon().trainerCreate(network.handle, options, teacher?.handle ?? null)));
  }

  /**
   * One step: forward in training mode, loss, backward, clipping, AdamW.
   *
   * @param step.seed seeds what is drawn inside the step (stochastic depth, dropout)
   * @param step.features the encoder's features of the input, where they are known: then the encoder isn't run, and
   * only a head can be trained
   * @returns the loss before the step, and the gradient's global norm before clipping
   */
  async step(
    input: Tensor,
    target: Tensor,
    step: { learningRate: number; seed: number; features?: VolumeFeatures },
  ): Promise<{ loss: number; gradientNorm: number }> {
    return settle(
      addon().trainerStep(
        this.handle,
        input.handle,
        target.handle,
        step.features ? featureHandles(step.features) : null,
        step.learningRate,
        step.seed,
      ),
    );
  }

  /**
   * One step of self-distillation: student and teacher see the views, the student takes a step as in `step`, the
   * teacher's centre and weights follow.
   *
   * @throws `BAD_INPUT` for a trainer without a teacher, and for views that do not fit
   */
  async distil(
    views: SliceViews,
    step: { learningRate: number; seed: number } & DistillationSchedule,
  ): Promise<{ loss: number; gradientNorm: number }> {
    const { slices, global, lesion, local, globalPosition, localPosition } = views;
    const { learningRate, seed, ...schedule } = step;
    const handles = {
      slices,
      global: global.handle,
      lesion: lesion.handle,
      local: local?.handle ?? null,
      globalPosition: globalPosition?.handle ?? null,
      localPosition: localPosition?.handle ?? null,
    };
    return settle(addon().trainerDistil(this.handle, { ...handles, ...schedule }, learningRate, seed));
  }

  /** Writes the optimiser's moments and step count, and a teacher's weights and centre, as safetensors, atomically. */
  async save(path: string, metadata: Record<string, string> = {}): Promise<void> {
    const { steps, tensors } = await settle(addon().trainerState(this.handle));
    const named = Object.fromEntries(tensors.map(({ name, tensor }) => [name, new Tensor(tensor)]));
    try {
      await writeSafetensors(path, named, { ...metadata, steps: String(steps) });
    } finally {
      for (const tensor of Object.values(named)) tensor.dispose();
    }
  }

  /** Restores what `save` wrote, so that training goes on bit for bit. */
  async load(path: string): Promise<Record<string, string>> {
    const file = await readSafetensors(path);
    const tensors: Tensor[] = [];
    try {
      for (const name of file.names) tensors.push(await file.tensor(name));
      const handles = tensors.map((tensor) => tensor.handle);
      await settle(addon().trainerAssign(this.handle, Number(file.metadata.steps), file.names, handles));
    } finally {
      for (const tensor of tensors) tensor.dispose();
    }
    return file.metadata;
  }

  dispose(): void {
    this.handle.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
