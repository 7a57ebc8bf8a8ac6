#pragma once

#include <cstdint>

#include "kernels/cuda_launch.h"

namespace transfer_limits::cuda {

// Of a block, in shared memory: a row's sums for weight and bias must fit.
constexpr int kRoomForSums = 48 * 1024;

// `In` and `Out` are float or Bfloat16 each. Rows lie one after the other, aligned to 16 bytes.
struct LayerNormRows {
  int64_t rows, features;
  float epsilon = 0.0f;
};

// statistics: means and inverse standard deviations, [2, rows].
template <typename In, typename Out>
void normalise_rows(const LayerNormRows& shape, const In* x, const float* weight, const float* bias, Out* y,
                    float* statistics, cudaStream_t stream);

// Into how many parts the rows are divided where they are summed.
int64_t layer_norm_parts(const LayerNormRows& shape);

// The gradient of x, and of each part of the rows the gradients of weight and bias: sums [parts, 2, features].
template <typename In, typename Out>
void layer_norm_gradients(const LayerNormRows& shape, const Out* gradient, const In* x,
                          const float* statistics, const float* weight, In* to_x, double* sums,
                          cudaStream_t stream);

}  // namespace transfer_limits::cuda
