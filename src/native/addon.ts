/**
 * The whole native surface, typed in one place: what `native/addon.cc` exports, one line each.
 * Nothing outside `src/native/` imports this file.
 */
/** What the elements of a tensor are. */
export type DType = "float32" | "float64" | "int64" | "uint8";
/** Elements on the host: float32, float64, int64 and uint8. */
export type TypedArray = Float32Array | Float64Array | BigInt64Array | Uint8Array;

/** A tensor on a device. Opaque: only the addon looks inside. */
export interface TensorHandle {
  readonly shape: number[];
  readonly dtype: DType;
  readonly device: string;
  readonly disposed: boolean;
  dispose(): void;
}
export interface NetworkHandle {
  readonly disposed: boolean;
  dispose(): void;
}
export interface TrainerHandle {
  readonly disposed: boolean;
  dispose(): void;
}
export interface RanksHandle {
  readonly disposed: boolean;
  dispose(): void;
}
export interface RankStoreHandle {
  readonly disposed: boolean;
  dispose(): void;
}

/** Which part of the batch of all ranks a rank's input is. */
export interface OwnPart {
  /** Of the input's first sample in that batch. */
  start: number;
  /** Samples of that batch. */
  total: number;
  /** False for a rank without a part of its own: the one sample that it is given does not count. */
  counts: boolean;
}

export interface BuildInfo {
  libtorch: string;
  cuda: boolean;
  cudaVersion: string | null;
  compiler: string;
  cpuCapability: string;
  devices: { name: string; id: string; memoryBytes: number }[];
}

/** A parameter or a buffer of a network. */
export interface ParameterInfo {
  /** As the published code names it, such as `encoder.stages.0.0.dwconv.weight`. */
  name: string;
  shape: number[];
  dtype: DType;
  /** It is not learnt: running statistics of a batch norm, and the like. */
  buffer: boolean;
  /**
   * Of a TorchScript encoder, how random weights are drawn: as its kind of module draws its own, or, of a kind that is not
   * known, by shuffling what the file has.
   */
  drawn?: "by-rule" | "shuffled";
}

/** One file-backed tensor: `offset` and `length` in bytes from the start of the file. */
export interface TensorLocation {
  path: string;
  offset: number;
  length: number;
  dtype: DType | "float16" | "bfloat16";
  shape: number[];
}

export interface Addon {
  buildInfo(): BuildInfo;
  setThreads(count: number): void;
  threads(): number;
  setDeterministic(on: boolean): void;
  deviceMilliseconds(device: string): Promise<number>;
  liveTensors(): number;
  freeMemory(device: string): number;
  peakMemory(device: string): number;
  resetPeakMemory(device: string): void;

  tensorFrom(data: TypedArray, shape: number[], device: string, share: boolean): TensorHandle;
  tensorShare(tensor: TensorHandle): TensorHandle;
  tensorToArray(tensor: TensorHandle): Promise<TypedArray>;
  tensorGather(bank: TensorHandle[], indices: number[]): Promise<TensorHandle>;
  tensorPoolDepth(tensor: TensorHandle, factor: number, method: "mean" | "first"): Promise<TensorHandle>;
  tensorThreshold(tensor: TensorHandle, value: number): Promise<TensorHandle>;
  tensorSelect(tensor: TensorHandle, axis: number, index: number): Promise<TensorHandle>;
  tensorSliceSums(tensor: TensorHandle): Promise<number[]>;
  tensorCountNotFinite(tensor: TensorHandle): Promise<number>;
  tensorNormal(shape: number[], seed: number, device: string): Promise<TensorHandle>;
  tensorCombine(tensors: TensorHandle[], weights: number[]): Promise<TensorHandle>;
  tensorClamp(tensor: TensorHandle, low: number, high: number): Promise<TensorHandle>;
  tensorMap(location: TensorLocation, device: string): Promise<TensorHandle>;
  tensorMapCountNotFinite(location: TensorLocation): Promise<number>;
  tensorsWrite(path: string, header: Uint8Array, tensors: TensorHandle[]): Promise<void>;

  networkCreate(specification: object, device: string, seed: number, dtype: DType): Promise<NetworkHandle>;
  networkParameters(network: NetworkHandle): ParameterInfo[];
  networkState(
    network: NetworkHandle,
    names: string[] | null,
  ): Promise<{ name: string; tensor: TensorHandle }[]>;
  networkAssign(network: NetworkHandle, names: string[], tensors: TensorHandle[]): Promise<void>;
  networkEmbed(
    network: NetworkHandle,
    input: TensorHandle,
    position: TensorHandle | null,
    precision: Precision,
    along: boolean,
  ): Promise<{
    pooled: TensorHandle;
    stages: TensorHandle[];
    /** Empty unless they were asked for. */
    along?: { mean: TensorHandle; maximum: TensorHandle; cls?: TensorHandle }[];
    tokens?: { cls: TensorHandle; patches: TensorHandle; axis: TensorHandle };
  }>;
  networkForward(
    network: NetworkHandle,
    input: TensorHandle,
    position: TensorHandle | null,
    precision: Precision,
    cudaGraphs: boolean,
  ): Promise<TensorHandle>;
  networkDecode(
    network: NetworkHandle,
    features: FeatureHandles,
    input: TensorHandle,
    precision: Precision,
    cudaGraphs: boolean,
  ): Promise<TensorHandle>;
  networkEmbedded(network: NetworkHandle): number;
  networkProject(network: NetworkHandle, features: TensorHandle): Promise<TensorHandle>;

  ranksJoin(options: object): Promise<RanksHandle>;
  rankStoreOpen(options: object): Promise<RankStoreHandle>;
  rankStoreLeave(store: RankStoreHandle, name: string, text: string): Promise<void>;
  rankStoreFind(store: RankStoreHandle, name: string): Promise<string | null>;
  ranksSum(ranks: RanksHandle, device: string, numbers: number[]): Promise<number[]>;

  trainerCreate(
    network: NetworkHandle,
    options: object,
    teacher: NetworkHandle | null,
    ranks: RanksHandle | null,
  ): Promise<TrainerHandle>;
  trainerStep(
    trainer: TrainerHandle,
    input: TensorHandle,
    target: TensorHandle,
    features: FeatureHandles | null,
    learningRate: number,
    seed: number,
    part: OwnPart | null,
  ): Promise<TensorHandle>;
  trainerSettle(
    trainer: TrainerHandle,
    input: TensorHandle,
    target: TensorHandle,
    seed: number,
  ): Promise<void>;
  trainerDistil(
    trainer: TrainerHandle,
    views: object,
    learningRate: number,
    seed: number,
    part: OwnPart | null,
  ): Promise<TensorHandle>;
  trainerState(
    trainer: TrainerHandle,
  ): Promise<{ steps: number; tensors: { name: string; tensor: TensorHandle }[] }>;
  trainerAssign(
    trainer: TrainerHandle,
    steps: number,
    names: string[],
    tensors: TensorHandle[],
  ): Promise<void>;

  lossGradient(
    loss: object,
    prediction: TensorHandle,
    target: TensorHandle,
  ): Promise<{ value: number; gradient: TensorHandle }>;
  volumeMove(volume: TensorHandle, flipped: number[], shift: number[]): Promise<TensorHandle>;
  batchIntensities(batch: TensorHandle, gains: number[], offsets: number[]): Promise<TensorHandle>;
  patchContrastGradient(
    loss: object,
    features: TensorHandle,
    share: TensorHandle,
    mayWait: boolean,
  ): Promise<{ value: number; gradient: TensorHandle }>;
  mmd2(
    a: TensorHandle,
    b: TensorHandle,
    sigmas: number[],
    cancel: CancelFlag | null,
    products: string,
  ): Promise<MmdSums>;
  mmdPermutations(
    a: TensorHandle,
    b: TensorHandle,
    sigma: number,
    members: TensorHandle,
    cancel: CancelFlag | null,
  ): Promise<MmdSums>;
  medianDistance(rows: TensorHandle): Promise<number>;
  compareMatchedRows(a: TensorHandle, b: TensorHandle): Promise<MatchedRows>;
  ssim3d(a: TensorHandle, b: TensorHandle, dataRange: number): Promise<number[]>;
  overlap(prediction: TensorHandle, target: TensorHandle, threshold: number): Promise<OverlapCounts[]>;

  kernelArrange(
    tensor: TensorHandle,
    layout: "contiguous" | "channels-last" | "strided",
  ): Promise<TensorHandle>;
  kernelDepthwiseConv3d(
    input: TensorHandle,
    weight: TensorHandle,
    bias: TensorHandle,
    gradOutput: TensorHandle | null,
    dtype: "float32" | "float64" | "bfloat16",
  ): Promise<TensorHandle[]>;
  kernelLinear(
    input: TensorHandle,
    weight: TensorHandle,
    bias: TensorHandle,
    gradOutput: TensorHandle | null,
    gelu: boolean,
  ): Promise<TensorHandle[]>;
  kernelGrnPerceptron(
    input: TensorHandle,
    parameters: TensorHandle[],
    keep: TensorHandle | null,
    gradOutput: TensorHandle | null,
  ): Promise<TensorHandle[]>;
  kernelConv3dSame(
    input: TensorHandle,
    weight: TensorHandle,
    gradOutput: TensorHandle | null,
  ): Promise<TensorHandle[]>;
  kernelPatchConv3d(
    input: TensorHandle,
    weight: TensorHandle,
    spreads: boolean,
    gradOutput: TensorHandle | null,
  ): Promise<TensorHandle[]>;
  kernelGroupNorm(
    input: TensorHandle,
    weight: TensorHandle | null,
    bias: TensorHandle | null,
    residual: TensorHandle | null,
    groups: number,
    activation: AfterNorm,
    gradOutput: TensorHandle | null,
  ): Promise<TensorHandle[]>;

  cancelFlag(): CancelFlag;
  cancel(flag: CancelFlag): void;

  volumeResample(
    volume: TensorHandle,
    outputToInput: number[],
    shape: number[],
    interpolation: "linear" | "nearest" | "label-linear",
    outside: number,
  ): Promise<TensorHandle>;
  volumeSmooth(volume: TensorHandle, sigmas: number[]): Promise<TensorHandle>;
  volumeCropSlices(volumes: TensorHandle, crops: object[], options: object): Promise<TensorHandle>;
  volumeNormalise(volume: TensorHandle, method: object): Promise<TensorHandle>;
  volumeDecode(file: StoredVolume): Promise<DecodedVolume | null>;
  volumeStatistics(volume: TensorHandle): Promise<VolumeStatistics>;
  volumeBounds(mask: TensorHandle): Promise<{ low: number[]; high: number[] } | null>;
  /** What C++ takes for foreground: see `src/common/foreground.ts`. */
  foregroundAbove: number;
  volumeCheckMask(
    mask: TensorHandle,
    binary: boolean,
  ): Promise<{ kind: MaskKind; mask: TensorHandle | null; values: number[] }>;
  volumeCountLabels(mask: TensorHandle): Promise<{ label: number; voxels: number }[]>;
  volumeSurfaceDistances(
    found: TensorHandle,
    truth: TensorHandle,
    options: object,
  ): Promise<{ surfaceDice: number; hausdorff95: number }>;
  volumeDetect(
    map: TensorHandle,
    truth: TensorHandle,
    options: object,
  ): Promise<{
    candidates: { confidence: number; voxels: number }[];
    lesions: number[];
    overlaps: { candidate: number; lesion: number; voxels: number }[];
    map: TensorHandle;
  }>;
  volumeWarp(volume: TensorHandle, field: TensorHandle): Promise<TensorHandle>;
  volumeJacobianMinimum(field: TensorHandle): Promise<number>;
  volumeDistanceTransform(mask: TensorHandle, spacing: number[]): Promise<TensorHandle>;
  volumeRegionBehind(gland: TensorHandle): Promise<TensorHandle>;
  volumeDistortionField(
    distances: TensorHandle,
    control: TensorHandle,
    options: object,
  ): Promise<{ field: TensorHandle; scale: number; jacobianMinimum: number }>;
  volumeDistort(
    volume: TensorHandle,
    distances: TensorHandle,
    control: TensorHandle,
    options: object,
  ): Promise<TensorHandle>;
  phantomRender(scene: object): Promise<Record<string, TensorHandle>>;
}

/**
 * What products and convolutions are computed in. Parameters, losses, metrics and answers are float32 in any case. `tf32` is
 * float32 whose operands a GPU rounds to ten bits there; on a CPU, which has no such thing, it is float32.
 */
export type Precision = "float32" | "tf32" | "bfloat16";

/** What an encoder made of volumes. */
export interface FeatureHandles {
  pooled: TensorHandle;
  stages: TensorHandle[];
}

/** An atomic flag that long native work polls. */
export type CancelFlag = object;

/** Per bandwidth, float64: sums over all ordered pairs i != j within A and within B, and over all pairs A x B. */
export interface MmdSums {
  rowsA: number;
  rowsB: number;
  sumAA: number[];
  sumBB: number[];
  sumAB: number[];
  /** Over the pairs (row i of A, row i of B), which are among those of `sumAB`; empty unless A and B have as many rows. */
  sumMatched: number[];
}

/** What native/kernels/matched_rows.h says about two sets whose rows are of the same cases. */
export interface MatchedRows {
  linearCka: number | null;
  procrustes: number | null;
  meanShift: number | null;
  deviationA: number | null;
  deviationB: number | null;
}

/** What may follow a norm; the leaky ReLU's slope is 0.01. */
export type AfterNorm = "none" | "leaky-relu" | "silu";

export interface OverlapCounts {
  intersection: number;
  prediction: number;
  target: number;
}

/** A file with a single volume, little-endian. */
export interface StoredVolume {
  path: string;
  /** How large it is on the disk. */
  bytes: number;
  /** The file is gzip. */
  gzip: boolean;
  /** "int16", "float64", ... */
  type: string;
  /** Where the voxels begin, once it is decompressed. */
  firstByte: number;
  voxels: number;
  slope: number;
  intercept: number;
}

export interface DecodedVolume {
  /** Stored value times slope plus intercept, in float64, rounded once. */
  data: Float32Array;
  /** Voxels that are NaN or infinite. */
  notFinite: number;
}

/**
 * What a mask's values are: labels (whole numbers), graded (between 0 and 1, as linear resampling leaves a binary mask),
 * labels that a factor has made small, more or higher labels than a mask has, or none of these.
 */
export type MaskKind = "labels" | "graded" | "scaled" | "many-labels" | "no-labels";

export interface VolumeStatistics {
  minimum: number;
  maximum: number;
  mean: number;
  standardDeviation: number;
  notFinite: number;
}
