#pragma once

#include <cstdint>

#include "kernels/cuda_launch.h"

namespace transfer_limits::cuda {

// Dense rows [samples, voxels, features].
struct FeatureRows {
  int64_t samples, voxels, features;
};

// Into how many parts the rows of one sample are divided where they are summed.
template <typename Value>
int64_t gelu_parts(const FeatureRows& rows);

// out = gelu(hidden + bias) * keep, which may be written over `hidden`, and the sums of its squares, in parts that are to
// be added: `squares` [samples, parts, features]. `bias` [features]; `keep` [samples, voxels] or null. `Value` is float or
// Bfloat16; computed in float.
template <typename Value>
void gelu_with_squares(const FeatureRows& rows, const Value* hidden, const float* bias, const float* keep,
                       Value* out, double* squares, cudaStream_t stream);

// gradient = (gradient + gelu(hidden + bias) * keep * slope) * keep * gelu'(hidden + bias), and its sums, in parts:
// `sums` [samples, parts, features]. `slope` [samples, features].
template <typename Value>
void gelu_backward(const FeatureRows& rows, Value* gradient, const Value* hidden, const float* bias,
                   const float* keep, const float* slope, double* sums, cudaStream_t stream);

// to_scale [features] = the column sums of weight * plain; plain = plain * scale + the outer product of `to_bias` [outputs]
// and `beta` [features]. Both matrices are [outputs, features].
void scale_weight_gradient(int64_t outputs, int64_t features, float* plain, const float* weight,
                           const float* scale, const float* to_bias, const float* beta, float* to_scale,
                           cudaStream_t stream);

}  // namespace transfer_limits::cuda
