#pragma once

#include <cstdint>

#include "kernels/after_norm.h"
#include "kernels/cuda_launch.h"

namespace transfer_limits::cuda {

// Dense voxels [samples, voxels, channels].
struct NormShape {
  int64_t samples, channels, voxels, groups;
};

// What a norm is made of. `Value` is float or Bfloat16; computed in float, sums of more than a few values in double.
template <typename Value>
struct NormOperands {
  NormShape shape;
  AfterNorm activation = AfterNorm::kNone;
  const Value* x = nullptr;
  const float* statistics = nullptr;  // means and inverse standard deviations, [2, samples, groups]
  const float *weight = nullptr, *bias = nullptr;  // [channels], or null: 1 and 0
};

// Into how many parts the voxels of one sample are divided where they are summed.
template <typename Value>
int64_t norm_parts(const NormShape& shape);

// The statistics of x; `sums` is room for [samples, parts, 2, channels].
template <typename Value>
void norm_statistics(const NormShape& shape, const Value* x, double* sums, float* statistics,
                     cudaStream_t stream);

// y = activation((x - mean) / deviation * weight + bias + residual); `residual` may be null.
template <typename Value>
void normalise(const NormOperands<Value>& norm, const Value* residual, Value* y, cudaStream_t stream);

// The sums over voxels of the gradient before the activation, and of it times (x - mean): `sums` [samples, parts, 2,
// channels]. `y` is read for a leaky ReLU alone; that gradient is written to `before` unless it is null.
template <typename Value>
void sum_norm_gradient(const NormOperands<Value>& norm, const Value* gradient, const Value* y, Value* before,
                       double* sums, cudaStream_t stream);

// From those sums in so many parts: `totals` [samples, 2, channels], what each group's gradient is shifted by and how it
// falls with x - mean, `shifts` [samples, groups, 2], and the gradients of weight and bias [channels].
void finish_norm_gradient(const NormShape& shape, int64_t parts, const double* sums, const float* statistics,
                          const float* weight, double* totals, float* shifts, float* to_weight,
                          float* to_bias, cudaStream_t stream);

// The gradient of x.
template <typename Value>
void norm_input_gradient(const NormOperands<Value>& norm, const Value* gradient, const Value* y,
                         const float* shifts, Value* to_x, cudaStream_t stream);

}  // namespace transfer_limits::cuda
