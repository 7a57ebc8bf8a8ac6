import type { AfterNorm, CancelFlag, OverlapCounts, TensorHandle } from "./addon.js";
import { addon, settle } from "./load-addon.js";
import { handleOf, Tensor } from "./tensor.js";
import type { LossSpec } from "./trainer.js";

/** Runs `work` with a native flag that is raised when `signal` is aborted. */
async function cancellable<T>(
  signal: AbortSignal | undefined,
  work: (cancel: CancelFlag | null) => Promise<T>,
): Promise<T> {
  if (!signal) return settle(work(null));
  const flag = addon().cancelFlag();
  const raise = () => addon().cancel(flag);
  if (signal.aborted) raise();
  signal.addEventListener("abort", raise, { once: true });
  try {
    return await settle(work(flag));
  } finally {
    signal.removeEventListener("abort", raise);
  }
}

/**
 * In what the products of rows are computed where there are many. `float32` is for every device. `int16`, for a CPU, takes
 * each row in whole numbers of 16 bits, at twice the rate where the processor has AVX-512 VNNI. For CUDA, `bfloat16` keeps
 * 8 bits of each value, and `three-term-bfloat16` takes a value as the sum of two, nearly as precise as float32.
 */
export type Products = "float32" | "int16" | "three-term-bfloat16" | "bfloat16";

/** Sums of the Gaussian kernel exp(-|u - v|² / sigma²) within and between two sets, per bandwidth. */
export const kernelSums = (
  a: Tensor,
  b: Tensor,
  sigmas: readonly number[],
  {
    products = "float32",
    signal,
  }: { products?: Products | undefined; signal?: AbortSignal | undefined } = {},
) =>
  cancellable(signal, (cancel) =>
    addon().mmd2(handleOf(a, "a"), handleOf(b, "b"), [...sigmas], cancel, products),
  );

/**
 * Sums of the Gaussian kernel at one bandwidth within and between the sets, for many divisions of all rows into two.
 *
 * @param members [divisions, N + M] uint8: 1 for each row that a division puts into the first set
 */
export const permutedKernelSums = (
  a: Tensor,
  b: Tensor,
  sigma: number,
  members: Tensor,
  signal: AbortSignal | undefined,
) =>
  cancellable(signal, (cancel) => addon().mmdPermutations(a.handle, b.handle, sigma, members.handle, cancel));

/**
 * The median Euclidean distance between different rows: of all pairs up to 4,096 rows, and of about a million pairs drawn
 * from a fixed seed where there are more. 0 where at least half of the pairs are equal.
 */
export const medianDistance = (rows: Tensor) => settle(addon().medianDistance(handleOf(rows, "rows")));

/** Linear CKA, Procrustes distance, mean shift and standard deviations of two sets whose rows are of the same cases. */
export const compareMatchedRows = (a: Tensor, b: Tensor) =>
  settle(addon().compareMatchedRows(handleOf(a, "a"), handleOf(b, "b")));

/**
 * Mean 3D SSIM of each sample over the windows that lie inside (Gaussian 11, sigma 1.5, K1 0.01, K2 0.03; Wang 2004).
 * `a` and `b`: [D, H, W] or [N, C, D, H, W].
 */
export const ssim3d = (a: Tensor, b: Tensor, dataRange: number): Promise<number[]> =>
  settle(addon().ssim3d(handleOf(a, "a"), handleOf(b, "b"), dataRange));

/** Voxel counts per sample of `prediction > threshold` and of the foreground of `target`, for overlap measures. */
export const overlap = async (
  prediction: Tensor,
  target: Tensor,
  threshold: number,
): Promise<OverlapCounts[]> =>
  settle(addon().overlap(handleOf(prediction, "prediction"), handleOf(target, "target"), threshold));

/** A loss and its gradient with respect to the prediction. */
export async function lossGradient(loss: LossSpec, prediction: Tensor, target: Tensor) {
  const { value, gradient } = await settle(addon().lossGradient(loss, prediction.handle, target.handle));
  return { value, gradient: new Tensor(gradient) };
}

/**
 * The patch contrast of a batch as a step of training takes it, of at most `loss.patches` of its patches, and the gradient
 * with respect to all of them.
 *
 * @param features [M, E], of all patches
 * @param share [M], the share of each that is lesion
 * @param mayWait whether the number of lesions may be looked at, as is done on a CPU and not on a GPU; the same either way
 */
export async function patchContrastGradient(
  loss: LossSpec & { kind: "patch-contrast" },
  features: Tensor,
  share: Tensor,
  mayWait: boolean,
) {
  const { value, gradient } = await settle(
    addon().patchContrastGradient(loss, features.handle, share.handle, mayWait),
  );
  return { value, gradient: new Tensor(gradient) };
}

/** How a tensor's values lie in memory; `strided`: as a part of a larger tensor. */
export type Layout = "contiguous" | "channels-last" | "strided";

/** A tensor of the same values in another layout of memory. */
export const arrange = async (tensor: Tensor, layout: Layout): Promise<Tensor> =>
  new Tensor(await settle(addon().kernelArrange(tensor.handle, layout)));

/**
 * The depthwise 3D convolution that the networks use: stride 1, zero padding that keeps the size.
 *
 * @param input [N, C, D, H, W]
 * @param weight [C, 1, k, k, k], k odd
 * @param bias [C]
 * @param gradOutput null for the forward pass; else of the input's shape
 * @param dtype the type to keep values in; bfloat16 is computed in float32. Default: the input's
 * @returns [output], or the gradients with respect to [input, weight, bias]; channels-last, of the input's type
 */
export async function depthwiseConv3d(
  input: Tensor,
  weight: Tensor,
  bias: Tensor,
  gradOutput: Tensor | null = null,
  dtype: "float32" | "float64" | "bfloat16" = input.dtype as "float32" | "float64",
): Promise<Tensor[]> {
  const handles = await settle(
    addon().kernelDepthwiseConv3d(
      input.handle,
      weight.handle,
      bias.handle,
      gradOutput?.handle ?? null,
      dtype,
    ),
  );
  return handles.map((handle) => new Tensor(handle));
}

/**
 * A linear layer of the networks, with GELU behind it or without.
 *
 * @param input [..., K]
 * @param weight [M, K]
 * @param bias [M]
 * @param gradOutput null for the forward pass; else of the output's shape
 * @returns [output], or the gradients with respect to [input, weight, bias]
 */
export async function linearLayer(
  input: Tensor,
  weight: Tensor,
  bias: Tensor,
  { gradOutput = null, gelu = false }: { gradOutput?: Tensor | null; gelu?: boolean } = {},
): Promise<Tensor[]> {
  const handles = await settle(
    addon().kernelLinear(input.handle, weight.handle, bias.handle, gradOutput?.handle ?? null, gelu),
  );
  return handles.map((handle) => new Tensor(handle));
}

/** What `grnPerceptron` learns: F features between C channels. */
export interface GrnPerceptronParameters {
  /** [F, C] */
  expandWeight: Tensor;
  /** [F] */
  expandBias: Tensor;
  /** Of global response normalisation, [F] each. */
  gamma: Tensor;
  beta: Tensor;
  /** [C, F] */
  projectWeight: Tensor;
  /** [C] */
  projectBias: Tensor;
}

/**
 * The pointwise part of a ConvNeXt V2 block in float32: linear layer, GELU, global response normalisation, linear layer.
 *
 * @param input [N, D, H, W, C]
 * @param keep [N, D, H, W, 1], what the activations are multiplied with, or null
 * @param gradOutput null for the forward pass; else of the input's shape
 * @returns [output], or the gradients with respect to the input and the parameters, in their order
 */
export async function grnPerceptron(
  input: Tensor,
  parameters: GrnPerceptronParameters,
  keep: Tensor | null = null,
  gradOutput: Tensor | null = null,
): Promise<Tensor[]> {
  const { expandWeight, expandBias, gamma, beta, projectWeight, projectBias } = parameters;
  const handles = await settle(
    addon().kernelGrnPerceptron(
      input.handle,
      [expandWeight, expandBias, gamma, beta, projectWeight, projectBias].map((tensor) => tensor.handle),
      keep?.handle ?? null,
      gradOutput?.handle ?? null,
    ),
  );
  return handles.map((handle) => new Tensor(handle));
}

/**
 * Convolution of the networks, of stride 1, without bias and with zero padding that keeps the size. Kernels of 3 x 3 x 3 are
 * convolved by Winograd's minimal filtering where channels are multiples of eight.
 *
 * @param input [N, C, D, H, W]
 * @param weight [O, C, k, k, k], k odd
 * @param gradOutput null for the forward pass; else [N, O, D, H, W]
 * @returns [output], or the gradients with respect to the input and the weight
 */
export async function conv3dSame(
  input: Tensor,
  weight: Tensor,
  gradOutput: Tensor | null = null,
): Promise<Tensor[]> {
  const handles = await settle(
    addon().kernelConv3dSame(input.handle, weight.handle, gradOutput?.handle ?? null),
  );
  return handles.map((handle) => new Tensor(handle));
}

/**
 * Convolution of the networks whose stride is as large as its kernel, without bias and padding; or the transposed one.
 *
 * @param input [N, C, D, H, W]
 * @param weight [O, C, kd, kh, kw]; transposed: [C, O, kd, kh, kw]
 * @param options.transposed each voxel becomes a box (default: each box becomes a voxel)
 * @param options.gradOutput null for the forward pass; else of the output's shape, [N, O, D / kd, H / kh, W / kw], or
 *   transposed [N, O, D kd, H kh, W kw]
 * @returns [output], or the gradients with respect to the input and the weight
 */
export async function patchConv3d(
  input: Tensor,
  weight: Tensor,
  { transposed = false, gradOutput = null }: { transposed?: boolean; gradOutput?: Tensor | null } = {},
): Promise<Tensor[]> {
  const handles = await settle(
    addon().kernelPatchConv3d(input.handle, weight.handle, transposed, gradOutput?.handle ?? null),
  );
  return handles.map((handle) => new Tensor(handle));
}

/**
 * Group norm of the networks (Wu and He 2018), with as many groups as channels instance norm, and what follows it.
 *
 * @param input [N, C, D, H, W]
 * @param options.groups divides C
 * @param options.weight [C], as `bias`; left out: neither scaled nor shifted
 * @param options.residual of the input's shape, added before the activation
 * @param options.gradOutput null for the forward pass; else of the input's shape
 * @returns [output], or the gradients with respect to the input, and weight, bias and residual where they are given
 */
export async function groupNorm(
  input: Tensor,
  options: {
    groups: number;
    weight?: Tensor | null;
    bias?: Tensor | null;
    residual?: Tensor | null;
    activation?: AfterNorm;
    gradOutput?: Tensor | null;
  },
): Promise<Tensor[]> {
  const { groups, weight, bias, residual, activation = "none", gradOutput } = options;
  const [own, shift, beside, gradient] = [weight, bias, residual, gradOutput].map(
    (tensor) => tensor?.handle ?? null,
  ) as [TensorHandle | null, TensorHandle | null, TensorHandle | null, TensorHandle | null];
  const handles = await settle(
    addon().kernelGroupNorm(input.handle, own, shift, beside, groups, activation, gradient),
  );
  return handles.map((handle) => new Tensor(handle));
}
