// How far voxels lie from a set of voxels, in mm between centres.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "tensor.h"

namespace transfer_limits::volumes {

// Throws BAD_INPUT unless all three voxel sizes are finite and above 0.
void require_spacing(const std::array<double, 3>& spacing);

// Replaces `squares`, row-major over `size` [D, H, W], 0 at the voxels that distances are measured from and infinite at all
// others, by the square of each voxel's exact Euclidean distance from the nearest of them, for voxels of `spacing` mm.
// Separable lower envelopes of parabolas (Felzenszwalb and Huttenlocher 2012, "Distance transforms of sampled functions").
void squared_distances(std::vector<double>& squares, const std::array<int64_t, 3>& size,
                       const std::array<double, 3>& spacing);

// The distance of each voxel of `mask` [D, H, W] from the nearest one of its foreground, float32, for voxels of size
// `spacing` [D, H, W] in mm. Throws BAD_INPUT for an empty mask.
at::Tensor distance_transform(const at::Tensor& mask, const std::array<double, 3>& spacing);

}  // namespace transfer_limits::volumes
