#pragma once

#include <cstdint>
#include <utility>

#include "tensor.h"

namespace transfer_limits {

// What a norm is followed by. The leaky ReLU's slope is 0.01.
enum class AfterNorm : std::uint8_t { kNone, kLeakyRelu, kSilu };

constexpr double kLeakySlope = 0.01;
constexpr double kNormEpsilon = 1e-5;

// Group norm (Wu and He 2018) of x [N, C, D, H, W] over `groups` of channels (as many as channels: instance norm), times
// `weight` [C] plus `bias` [C] where they are defined, plus `residual`, of x's size, where that is, and its activation, in
// one pass over x after one for its moments. Everything is float32 on the CPU, volumes in channels-last memory. Sums are
// accumulated in float64 over blocks of voxels: no number depends on the threads.
//
// Answers y as x, and the means and inverse standard deviations, [2, N, groups].
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

}  // namespace transfer_limits
