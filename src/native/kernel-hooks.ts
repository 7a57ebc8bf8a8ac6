import { TransferLimitsError } from "../common/errors.js";
import type { TensorHandle } from "./addon.js";
import { addon, settle } from "./load.js";
import { Tensor } from "./tensor.js";

/** Kernels that are reachable alone, for measuring them: an older addon may lack them. */
interface KernelHooks {
  kernelArrange?(tensor: TensorHandle, layout: "channels-last"): Promise<TensorHandle>;
  kernelDepthwiseConv3d?(
    input: TensorHandle,
    weight: TensorHandle,
    bias: TensorHandle,
    gradOutput: TensorHandle | null,
    dtype: "float32",
  ): Promise<TensorHandle[]>;
}

function hooks(): Required<KernelHooks> | null {
  const { kernelArrange, kernelDepthwiseConv3d } = addon() as KernelHooks;
  return kernelArrange && kernelDepthwiseConv3d ? { kernelArrange, kernelDepthwiseConv3d } : null;
}

function required(): Required<KernelHooks> {
  const found = hooks();
  if (found === null)
    throw new TransferLimitsError(
      "LIBTORCH_MISSING",
      "The addon was built without kernelDepthwiseConv3d. Build it again: npm run build:native",
    );
  return found;
}

/** Whether the addon has the depthwise convolution as a function of its own. */
export const hasDepthwiseConv3d = (): boolean => hooks() !== null;

/** A tensor of the same values whose memory is channels-last, as networks hold their volumes. */
export const channelsLast = async (tensor: Tensor): Promise<Tensor> =>
  new Tensor(await settle(required().kernelArrange(tensor.handle, "channels-last")));

/**
 * A depthwise 3D convolution alone, zero padding, stride 1, in float32.
 *
 * @param input [N, C, D, H, W]
 * @param weight [C, 1, k, k, k]
 * @param gradient null for the forward pass; else of the output
 * @returns [output], or the gradients of [input, weight, bias]
 */
export async function depthwiseConv3d(
  input: Tensor,
  weight: Tensor,
  bias: Tensor,
  gradient: Tensor | null,
): Promise<Tensor[]> {
  const handles = await settle(
    required().kernelDepthwiseConv3d(
      input.handle,
      weight.handle,
      bias.handle,
      gradient?.handle ?? null,
      "float32",
    ),
  );
  return handles.map((handle) => new Tensor(handle));
}
