// Resampling by an affine map between voxel indices: one interpolation from the original grid, so that nothing is
// blurred twice on its way onto the study's grid.
#pragma once

#include <array>
#include <cstdint>

#include "tensor.h"

namespace transfer_limits::volumes {

enum class Interpolation { kLinear, kNearest, kLabelLinear };

// Samples `volume` [D, H, W] on a grid of `shape`. `output_to_input` is row-major 4x4 and takes the homogeneous voxel
// index (k, j, i, 1) of the output to that of the input. Voxel centres lie at whole numbers.
//
// - kLinear: trilinear. A voxel reaches half its size beyond its centre, so positions up to half a voxel outside the
//   outermost centres take the edge's value; beyond that, `outside`.
// - kNearest: the voxel that the position lies in, by the same rule.
// - kLabelLinear: each label is interpolated linearly as its own mask and the largest wins; of equals the smaller
//   label. Beyond the outermost centres everything counts as the label `outside`.
at::Tensor resample(const at::Tensor& volume, const std::array<double, 16>& output_to_input,
                    const std::array<int64_t, 3>& shape, Interpolation interpolation, double outside);

}  // namespace transfer_limits::volumes
