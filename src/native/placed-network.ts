import { requireList, requireOptions, requirePath, requireTexts } from "../common/arguments.js";
import { expected, TransferLimitsError } from "../common/errors.js";
import type { FeatureHandles, NetworkHandle, ParameterInfo, Precision } from "./addon.js";
import { addon, call, settle } from "./load-addon.js";
import type { NetworkSpec } from "./network-spec.js";
import { readSafetensors, writeSafetensors } from "./safetensors.js";
import { nativeSpec } from "./script-file.js";
import { disposeNamed, handleOf, handleOrNull, handlesOf, Tensor } from "./tensor.js";

export type { ParameterInfo, Precision } from "./addon.js";

/**
 * Encoder features of volumes: `pooled` [N, features], and the feature maps: four of a convolutional encoder, of a
 * vision transformer its patch tokens on their grid, slice by slice [N, D, features, H / patch, W / patch], of the last
 * block, or under UNETR of four depths, the last block last.
 */
export interface VolumeFeatures extends Disposable {
  pooled: Tensor;
  stages: Tensor[];
}

/** What an encoder says of volumes at one of its depths, each [N, features]. */
export interface PooledDepth {
  /** Over all positions. */
  mean: Tensor;
  /** Over all positions. */
  maximum: Tensor;
  /** The class token of a vision transformer, over the slices of a volume their mean. */
  cls?: Tensor;
}

/** Features of volumes with what the encoder says along the way, from the input on. */
export interface FeaturesAlong extends VolumeFeatures {
  /** A convolutional encoder's four stages; a vision transformer after a quarter, a half, three quarters and all of its blocks. */
  along: PooledDepth[];
}

/** Encoder features of slices; `pooled` [N, features] is the mean of the patch tokens. */
export interface SliceFeatures extends VolumeFeatures {
  /** After the final norm: `cls` [N, features], `patches` [N, patches, features], `axis` [N, axis tokens, features]. */
  tokens: { cls: Tensor; patches: Tensor; axis: Tensor };
}

/** Where slices lie: [N, 2], the index of the slice from 0 and the number of slices; for an encoder with axis tokens. */
export interface SliceOptions {
  /** Left out for an encoder without axis tokens. */
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

/** @internal */
export function featureHandles(features: VolumeFeatures): FeatureHandles {
  requireOptions(features, "features");
  return {
    pooled: handleOf(features.pooled, "features.pooled"),
    stages: handlesOf(features.stages, "features.stages"),
  };
}

/** @internal The native handle of an argument. @throws `BAD_INPUT` with what came where it is no network */
export function networkHandle(value: PlacedNetwork, name: string): NetworkHandle {
  if (!(value instanceof PlacedNetwork)) throw expected("a Network", name, value);
  return value.handle;
}

/** A network on a device. Work is queued in order; every method answers with a promise. */
export class PlacedNetwork implements Disposable {
  /** @internal */
  readonly handle: NetworkHandle;
  /** What it was built from. */
  readonly spec: NetworkSpec;
  /** Where its parameters lie: `cpu` or `cuda:N`. */
  readonly device: string;
  /**
   * What `forward`, `embed` and `decode` compute their products and convolutions in from now on; answers are float32. A
   * trainer has its own.
   */
  precision: Precision = "float32";
  /**
   * Whether what `forward` and `decode` do on a GPU is recorded as CUDA graphs from now on, one for each of up to four shapes,
   * and played: the same answers, without a kernel at a time being started. A trainer has its own. Without effect on a CPU.
   */
  cudaGraphs = false;

  protected constructor(handle: NetworkHandle, spec: NetworkSpec, device: string) {
    this.handle = handle;
    this.spec = spec;
    this.device = device;
  }

  /**
   * Builds the network with fresh weights drawn from `seed`. Those of a TorchScript encoder are its file's, unless they are
   * asked to be `drawn`; the head's are the same in both cases. A network of `dtype` float64 takes and answers float64, and so
   * does its trainer: slowly, to tell apart what rounding does and what a definition does.
   */
  static async build(
    spec: NetworkSpec,
    options: { device?: string; seed?: number; drawn?: boolean; dtype?: "float32" | "float64" } = {},
  ): Promise<PlacedNetwork> {
    requireOptions(options);
    const { device = "cpu", seed = 0, drawn = false, dtype = "float32" } = options;
    const native = await nativeSpec(spec, drawn);
    return new this(await settle(addon().networkCreate(native, device, seed, dtype)), spec, device);
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
    const handle = handleOf(input, "the input");
    if (options !== undefined) requireOptions(options);
    if (options !== undefined && input.shape.length !== 4)
      throw expected("slices [N, C, H, W] where options are given", "the input", input.shape);
    if (options === undefined && input.shape.length === 4)
      throw expected("a volume [N, C, D, H, W], or slices and { position },", "the input", input.shape);
    const { pooled, stages, tokens } = await settle(
      addon().networkEmbed(
        this.handle,
        handle,
        handleOrNull(options?.position, "position"),
        this.precision,
        false,
      ),
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
   * As `embed` of volumes, with what the encoder says at each of its depths, pooled: so many depths that one sees where
   * along the network something changed. The caller disposes all of them.
   */
  async embedAlong(input: Tensor): Promise<FeaturesAlong> {
    const handle = handleOf(input, "the input");
    if (input.shape.length !== 5) throw expected("a volume [N, C, D, H, W]", "the input", input.shape);
    const found = await settle(addon().networkEmbed(this.handle, handle, null, this.precision, true));
    const features = volumeFeatures(
      new Tensor(found.pooled),
      found.stages.map((stage) => new Tensor(stage)),
    );
    const along = (found.along ?? []).map(({ mean, maximum, cls }) => ({
      mean: new Tensor(mean),
      maximum: new Tensor(maximum),
      ...(cls === undefined ? {} : { cls: new Tensor(cls) }),
    }));
    return {
      ...features,
      along,
      [Symbol.dispose]() {
        features[Symbol.dispose]();
        for (const depth of along) for (const pooled of Object.values(depth)) pooled.dispose();
      },
    };
  }

  /**
   * The network's answer to volumes [N, C, D, H, W], or to slices [N, C, H, W] with their position, in evaluation mode
   * and without gradients. `conv1` answers to slices at 8 / patch of their size, to volumes at their own, slice by slice.
   */
  async forward(input: Tensor, options: SliceOptions = {}): Promise<Tensor> {
    requireOptions(options);
    const position = handleOrNull(options.position, "position");
    return new Tensor(
      await settle(
        addon().networkForward(
          this.handle,
          handleOf(input, "the input"),
          position,
          this.precision,
          this.cudaGraphs,
        ),
      ),
    );
  }

  /**
   * What `forward` answers to volumes, from the encoder's features of them: the head alone.
   *
   * @throws `BAD_INPUT` for a specialised model, which has no encoder, and for features of other volumes
   */
  async decode(features: VolumeFeatures, input: Tensor): Promise<Tensor> {
    return new Tensor(
      await settle(
        addon().networkDecode(
          this.handle,
          featureHandles(features),
          handleOf(input, "the input"),
          this.precision,
          this.cudaGraphs,
        ),
      ),
    );
  }

  /** On how many volumes the encoder has been run so far, for features, answers or steps of training. */
  get embedded(): number {
    return call(() => addon().networkEmbedded(this.handle));
  }

  /** The contrastive head's answer [M, prototypes] to features [M, embedDim], such as patch tokens. */
  async project(features: Tensor): Promise<Tensor> {
    return new Tensor(await settle(addon().networkProject(this.handle, handleOf(features, "features"))));
  }

  /** Replaces parameters and buffers by name. @throws `BAD_CHECKPOINT` on an unknown name or another shape. */
  async assign(tensors: Record<string, Tensor>): Promise<void> {
    requireOptions(tensors, "tensors");
    const handles = Object.entries(tensors).map(([name, tensor]) => handleOf(tensor, `tensors.${name}`));
    await settle(addon().networkAssign(this.handle, Object.keys(tensors), handles));
  }

  /** Copies of all parameters and buffers by name, or of those named; the caller disposes them. */
  async state(names?: readonly string[]): Promise<Record<string, Tensor>> {
    if (names !== undefined) requireList(names, "names", "an array of names");
    const entries = await settle(addon().networkState(this.handle, names ? [...names] : null));
    return Object.fromEntries(entries.map(({ name, tensor }) => [name, new Tensor(tensor)]));
  }

  /** Writes all parameters and buffers as safetensors, atomically. */
  async save(path: string, metadata: Record<string, string> = {}): Promise<void> {
    requirePath(path, "path");
    requireTexts(metadata, "metadata");
    const state = await this.state();
    try {
      await writeSafetensors(path, state, metadata);
    } finally {
      disposeNamed(state);
    }
  }

  /**
   * Brings back what `save` wrote: every parameter and buffer, under the same name; or, of a file with some of them, those
   * that are named.
   *
   * @throws `BAD_CHECKPOINT` when the file cannot be read, lacks a parameter, or holds one of another shape
   */
  async restore(path: string, names?: readonly string[]): Promise<void> {
    requirePath(path, "path");
    if (names !== undefined) requireList(names, "names", "an array of names");
    const file = await readSafetensors(path);
    const held = new Set(file.names);
    const missing = (names ?? this.parameters.map(({ name }) => name)).filter((name) => !held.has(name));
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
      disposeNamed(state);
    }
  }

  /** Frees the memory of its parameters. Calling it again does nothing. */
  dispose(): void {
    this.handle.dispose();
  }

  /** As `dispose`, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
