// Trilinear interpolation on voxel centres, in float64: the one place that resampling and warping share.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace transfer_limits::volumes {

// The voxels of a volume [D, H, W], row-major.
struct Voxels {
  const float* data;
  std::array<int64_t, 3> size;

  float at(int64_t k, int64_t j, int64_t i) const { return data[(k * size[1] + j) * size[2] + i]; }
};

// One axis of a linear interpolation: the two neighbours and the weight of the upper one.
struct Neighbours {
  int64_t low, high;
  double weight;
};

// Positions beyond the outermost centres count as those centres.
inline Neighbours clamped_neighbours(double position, int64_t size) {
  position = std::clamp(position, 0.0, static_cast<double>(size - 1));
  const auto low = std::min(static_cast<int64_t>(position), size - 1);
  return {low, std::min(low + 1, size - 1), position - static_cast<double>(low)};
}

// The value at `position` (k, j, i), which must be finite. At a voxel's centre, exactly that voxel's value.
inline float interpolate_trilinear(const Voxels& voxels, const std::array<double, 3>& position) {
  const Neighbours k = clamped_neighbours(position[0], voxels.size[0]);
  const Neighbours j = clamped_neighbours(position[1], voxels.size[1]);
  const Neighbours i = clamped_neighbours(position[2], voxels.size[2]);
  const auto along_i = [&](int64_t slice, int64_t row) {
    const double low = voxels.at(slice, row, i.low);
    return low + (voxels.at(slice, row, i.high) - low) * i.weight;
  };
  const auto along_j = [&](int64_t slice) {
    const double low = along_i(slice, j.low);
    return low + (along_i(slice, j.high) - low) * j.weight;
  };
  const double low = along_j(k.low);
  return static_cast<float>(low + (along_j(k.high) - low) * k.weight);
}

}  // namespace transfer_limits::volumes
