#pragma once

#include <cstdint>
#include <utility>

#include "kernels/after_norm.h"
#include "tensor.h"

namespace transfer_limits {

// Group norm (Wu and He 2018) of x [N, C, D, H, W] over `groups` of channels (as many as channels: instance norm), times
// `weight` [C] plus `bias` [C] where they are defined, plus `residual`, of x's size, where that is, and its activation, in
// one pass over x after one for its moments. Volumes lie in channels-last memory and are float32, on CUDA bfloat16 too;
// weight and bias are float32. Sums are accumulated in float64 over blocks of voxels: no number depends on the threads.
//
// Answers y as x, and the means and inverse standard deviations, [2, N, groups] in float32.
std::pair<at::Tensor, at::Tensor> group_norm_activated(const at::Tensor& x, int64_t groups,
                                                       const at::Tensor& weight, const at::Tensor& bias,
                                                       const at::Tensor& residual, AfterNorm activation);

// With respect to what group_norm_activated took; those of weight and bias [C] are always there, that of the residual is
// the one before the norm.
struct GroupNormGradients {
  at::Tensor x, weight, bias, residual;
};

// The way back from `gradient`, in channels-last memory. `y` is read for a leaky ReLU alone.
GroupNormGradients group_norm_backward(const at::Tensor& gradient, const at::Tensor& x, const at::Tensor& y,
                                       const at::Tensor& statistics, int64_t groups, const at::Tensor& weight,
                                       const at::Tensor& bias, bool with_residual, AfterNorm activation);

// What the two do with tensors that lie on a CUDA device.
namespace cuda {
std::pair<at::Tensor, at::Tensor> group_norm_activated(const at::Tensor& x, int64_t groups,
                                                       const at::Tensor& weight, const at::Tensor& bias,
                                                       const at::Tensor& residual, AfterNorm activation);
GroupNormGradients group_norm_backward(const at::Tensor& gradient, const at::Tensor& x, const at::Tensor& y,
                                       const at::Tensor& statistics, int64_t groups, const at::Tensor& weight,
                                       const at::Tensor& bias, bool with_residual, AfterNorm activation);
}  // namespace cuda

}  // namespace transfer_limits
