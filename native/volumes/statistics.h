// What `inspect` shows of a volume, and what preprocessing asks of it before it trusts it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "tensor.h"

namespace transfer_limits::volumes {

struct Statistics {
  double minimum, maximum, mean;
  double standard_deviation;  // of the population: divided by the number of voxels
  int64_t not_finite;         // voxels that are NaN or infinite
};

// Over the finite voxels of `volume` [D, H, W]; all zero when there is none.
Statistics statistics(const at::Tensor& volume);

// How many of `count` floating-point numbers, half precision included, are NaN or infinite. They may begin at any byte.
int64_t count_not_finite(const void* data, int64_t count, at::ScalarType type);

// As `statistics`, over the finite voxels above `threshold` only.
struct Moments {
  int64_t count;
  double minimum, maximum, mean, standard_deviation;
};
Moments moments_above(const at::Tensor& volume, double threshold);

// Index (k, j, i) of the first and of the last voxel of a box, both inside it.
struct Bounds {
  std::array<int64_t, 3> low, high;
};

// The smallest box that holds every foreground voxel of `mask` [D, H, W]; nothing when there is none.
std::optional<Bounds> bounds(const at::Tensor& mask);

}  // namespace transfer_limits::volumes
