#pragma once

#include <cstdint>

#include "kernels/cuda_launch.h"

namespace transfer_limits::cuda {

// out[n] = normal draw n of `seed`, for n below `count`.
void draw_normals(uint64_t seed, int64_t count, float* out, cudaStream_t stream);

}  // namespace transfer_limits::cuda
