import type { TensorHandle } from "./addon.js";
import { addon, settle } from "./load.js";
import { Tensor } from "./tensor.js";

/** Kernels that are reachable alone, for measuring them: an addon may lack them. */
interface KernelHooks {
  kernelDepthwiseConv3d?(
    input: TensorHandle,
    weight: TensorHandle,
    bias: TensorHandle,
    gradient: TensorHandle | null,
  ): Promise<Record<"output" | "inputGradient" | "weightGradient" | "biasGradient", TensorHandle | null>>;
}

export interface DepthwisePasses {
  /** [N, D, H, W, C] */
  output: Tensor;
  /** The gradients of input [N, D, H, W, C], weight [C, 1, k, k, k] and bias [C]: with a gradient of the output only. */
  gradients: { input: Tensor; weight: Tensor; bias: Tensor } | null;
}

/** Whether the addon has the depthwise convolution as a function of its own. */
export const hasDepthwiseConv3d = (): boolean => (addon() as KernelHooks).kernelDepthwiseConv3d !== undefined;

/**
 * A depthwise 3D convolution alone, zero padding, stride 1: forward, and with the output's gradient backward too.
 *
 * @param input [N, D, H, W, C]: channels last, as networks hold their volumes
 * @param weight [C, 1, k, k, k]
 * @param gradient of the output, [N, D, H, W, C]
 */
export async function depthwiseConv3d(
  input: Tensor,
  weight: Tensor,
  bias: Tensor,
  gradient: Tensor | null,
): Promise<DepthwisePasses> {
  const kernel = (addon() as KernelHooks).kernelDepthwiseConv3d;
  if (kernel === undefined) throw new Error("this addon has no kernelDepthwiseConv3d");
  const passes = await settle(kernel(input.handle, weight.handle, bias.handle, gradient?.handle ?? null));
  const { output, inputGradient, weightGradient, biasGradient } = passes;
  if (output === null) throw new Error("kernelDepthwiseConv3d answered without an output");
  const gradients =
    inputGradient && weightGradient && biasGradient
      ? {
          input: new Tensor(inputGradient),
          weight: new Tensor(weightGradient),
          bias: new Tensor(biasGradient),
        }
      : null;
  return { output: new Tensor(output), gradients };
}
