// How far the surfaces of two masks lie apart.
#pragma once

#include <array>

#include "tensor.h"

namespace transfer_limits::volumes {

struct SurfaceDistances {
  double
      surface_dice;  // the share of both surfaces that lies within the tolerance of the other (Nikolov et al. 2018)
  double
      hausdorff95;  // the 95th percentile of the distances of both surfaces from the other, in mm: the larger one
};

// Of what was found, where `found` [D, H, W] lies above `above`, from the foreground of `truth` [D, H, W]. A surface is made
// of the voxels of a mask with a neighbour (of six) outside of it, or at the edge of the volume; each counts once. `spacing`
// [D, H, W] and `tolerance` are in mm. Throws BAD_INPUT where either mask is empty.
SurfaceDistances surface_distances(const at::Tensor& found, double above, const at::Tensor& truth,
                                   const std::array<double, 3>& spacing, double tolerance);

}  // namespace transfer_limits::volumes
