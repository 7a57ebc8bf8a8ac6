// What every function on volumes asks of its argument, in one place: a wrong tensor is an error that says so, never a
// read past the end.
#pragma once

#include <cstdint>
#include <limits>

#include "tensor.h"

namespace transfer_limits::volumes {

// Throws BAD_INPUT unless `volume` is a float32 tensor [D, H, W] on the device without an empty axis; returns it contiguous.
at::Tensor require_volume(const at::Tensor& volume, const char* name, const at::Device& device = at::kCPU);

// Voxels a task: sums are formed over blocks of this size and added in the order of the blocks, so that they do not
// depend on the number of threads.
inline constexpr int64_t kBlock = 1 << 16;

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace transfer_limits::volumes
