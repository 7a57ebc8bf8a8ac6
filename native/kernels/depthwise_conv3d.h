#pragma once

#include <utility>

#include "tensor.h"

namespace transfer_limits {

// Depthwise 3D convolution, on the CPU or on CUDA: every channel with its own cubic kernel of odd size k, stride 1, zero padding
// that keeps the size. Volumes are [N, C, D, H, W] of any layout, float32, float64 or bfloat16 (computed in float32);
// answers are channels-last. A kernel of 7 has its own code; on CUDA other sizes, and float64, are LibTorch's. No number
// depends on how many threads there are.

// `weight` [C, 1, k, k, k]; `bias` [C], or undefined for none.
at::Tensor depthwise_conv3d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

// The gradient with respect to the input: the convolution of `gradient` [N, C, D, H, W] with the flipped kernel.
at::Tensor depthwise_conv3d_input_gradient(const at::Tensor& gradient, const at::Tensor& weight);

// The gradients with respect to the weight [C, 1, k, k, k] and the bias [C]. The weight's is accumulated over parts of
// the volume in float32 and over the parts in float64.
std::pair<at::Tensor, at::Tensor> depthwise_conv3d_weight_gradient(const at::Tensor& gradient,
                                                                   const at::Tensor& x, int64_t kernel);

// What the above does with tensors that lie on a CUDA device; the arguments are checked already.
namespace cuda {
at::Tensor depthwise_conv3d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);
at::Tensor depthwise_conv3d_input_gradient(const at::Tensor& gradient, const at::Tensor& weight);
std::pair<at::Tensor, at::Tensor> depthwise_conv3d_weight_gradient(const at::Tensor& gradient,
                                                                   const at::Tensor& x, int64_t kernel);
}  // namespace cuda

}  // namespace transfer_limits
