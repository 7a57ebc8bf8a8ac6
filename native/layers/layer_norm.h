#pragma once

#include "modules.h"

namespace transfer_limits {

constexpr double kLayerNormEpsilon = 1e-6;  // of every network here

// Layer norm over the last axis, as LibTorch has it, with gradients of weight and bias that are right in bfloat16 on a CPU
// too: LibTorch's own (2.14.1) are added up in bfloat16 there, which stands still at 256 times what is added. Of 60,000
// voxels with equal gradients, the bias got four thousandths.
at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

inline at::Tensor layer_norm(const at::Tensor& x, const torch::nn::LayerNorm& layer) {
  return layer_norm(x, layer->weight, layer->bias);
}

inline torch::nn::LayerNorm layer_norm_of(int64_t features) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({features}).eps(kLayerNormEpsilon));
}

}  // namespace transfer_limits
