#pragma once

#include <cstdint>

#include "tensor.h"

namespace transfer_limits {

// Draws from the standard normal distribution, float32, on a device: number n in row-major order follows from `seed` and
// n alone, to the bit, whatever the device, the threads and the shape (see philox.h). Four are made of one block of
// random words.
at::Tensor philox_normal(at::IntArrayRef shape, uint64_t seed, const at::Device& device);

constexpr int64_t kNormalsOfBlock = 4;

// What it does with a dense float32 tensor on a CUDA device.
namespace cuda {
void fill_philox_normal(at::Tensor& out, uint64_t seed);
}  // namespace cuda

}  // namespace transfer_limits
