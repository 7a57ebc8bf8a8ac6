#pragma once

#include <cstdint>

#include "kernels/cuda_launch.h"

namespace transfer_limits::cuda {

// out[n] = number first + n of a draw, for n below `count`; `seed` is read by the kernel.
void draw_uniform(const int64_t* seed, uint32_t draw, int64_t first, int64_t count, float* out,
                  cudaStream_t stream);

}  // namespace transfer_limits::cuda
