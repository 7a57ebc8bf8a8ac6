#pragma once

#include "modules.h"

namespace transfer_limits {

// Whether the products of linear are by kernels/linear_product.h: on a CPU in float32. Autocast and other types are LibTorch's
// own.
bool takes_linear_product(const at::Tensor& x);

// What torch::nn::functional::linear computes, with its products by kernels/linear_product.h where that is faster:
// x [..., K], weight [M, K], bias [M] -> [..., M].
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

// gelu(linear(x, weight, bias))
at::Tensor linear_gelu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

// The same with a layer's parameters.
inline at::Tensor linear(const at::Tensor& x, const torch::nn::Linear& layer) {
  return linear(x, layer->weight, layer->bias);
}
inline at::Tensor linear_gelu(const at::Tensor& x, const torch::nn::Linear& layer) {
  return linear_gelu(x, layer->weight, layer->bias);
}

}  // namespace transfer_limits
