#pragma once

#include <cstdint>

#include "kernels/cuda_launch.h"

namespace transfer_limits::cuda {

// A volume in memory as [N, D, H, W, C], without gaps.
struct DepthwiseShape {
  int64_t samples, depth, height, width, channels;
};

// The depthwise convolution with cubic kernels of 7, stride 1, zeros around: `x` and `out` of that shape, `weight`
// [343, C] and `bias` [C] or null. Sums are float32. `Value` is float or Bfloat16.
template <typename Value>
void convolve_depthwise(const DepthwiseShape& shape, const Value* x, const float* weight, const float* bias,
                        Value* out, cudaStream_t stream);

// Into how many parts the weight's gradient is summed: enough to occupy the device.
template <typename Value>
int64_t depthwise_weight_gradient_parts(const DepthwiseShape& shape);

// The gradient with respect to the weight, in parts that are to be added: `sums` [parts, 343, C]. Each part's sums are
// float32 in an order that is always the same.
template <typename Value>
void correlate_depthwise(const DepthwiseShape& shape, const Value* gradient, const Value* x, float* sums,
                         int64_t parts, cudaStream_t stream);

}  // namespace transfer_limits::cuda
