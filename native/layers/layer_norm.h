#pragma once

#include "modules.h"

namespace transfer_limits {

constexpr double kLayerNormEpsilon = 1e-6;  // of every network here but Swin UNETR

// Layer norm over the last axis, as LibTorch has it, with gradients of weight and bias that are right in bfloat16 on a CPU
// too: LibTorch's own (2.14.1) are added up in bfloat16 there, which stands still at 256 times what is added. Of 60,000
// voxels with equal gradients, the bias got four thousandths.
at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                      double epsilon = kLayerNormEpsilon);

// The same where the answer goes into matrix products or convolutions: under autocast on CUDA it is of the type that they
// take, which LibTorch would write in float32 and round afterwards.
at::Tensor layer_norm_operand(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                              double epsilon = kLayerNormEpsilon);

inline at::Tensor layer_norm(const at::Tensor& x, const torch::nn::LayerNorm& layer) {
  return layer_norm(x, layer->weight, layer->bias, layer->options.eps());
}

inline at::Tensor layer_norm_operand(const at::Tensor& x, const torch::nn::LayerNorm& layer) {
  return layer_norm_operand(x, layer->weight, layer->bias, layer->options.eps());
}

inline torch::nn::LayerNorm layer_norm_of(int64_t features, double epsilon = kLayerNormEpsilon) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({features}).eps(epsilon));
}

}  // namespace transfer_limits
