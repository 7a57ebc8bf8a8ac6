#pragma once

#include <utility>

#include "tensor.h"

// Layer norm on a CUDA device that reads and writes bfloat16 with weights in float32, which LibTorch's own doesn't: under
// autocast that copies what it reads to float32, and matrix products copy its answer back. On a CPU LibTorch's own mixes
// types itself.
namespace transfer_limits::cuda {

// Rows of more features are refused.
constexpr int64_t kMostNormFeatures = 6144;

// Layer norm (Ba 2016) of x [rows..., C] over its last axis, times `weight` [C] plus `bias` [C], which are float32; x is
// float32 or bfloat16, and so is the answer, of x's shape and of type `type`. Computed in float32, from squares about the
// mean. With it, the rows' means and inverse standard deviations, [2, rows] in float32.
std::pair<at::Tensor, at::Tensor> layer_norm(const at::Tensor& x, const at::Tensor& weight,
                                             const at::Tensor& bias, double epsilon, at::ScalarType type);

// With respect to what layer_norm took, each of its type.
struct LayerNormGradients {
  at::Tensor x, weight, bias;
};

// The way back from `gradient`, of the answer's type, in one pass. Sums over rows are float32 over a few of them, and
// float64 from there on, in one order.
LayerNormGradients layer_norm_backward(const at::Tensor& gradient, const at::Tensor& x,
                                       const at::Tensor& statistics, const at::Tensor& weight);

}  // namespace transfer_limits::cuda
