#pragma once

#include <cstdint>

#include "tensor.h"

namespace transfer_limits {

// How a displacement field along one axis of a volume is made of what is drawn; see volumes/distortion.h.
struct FieldAlongAxis {
  int64_t axis = 1;                 // 0 is D, 1 is H, 2 is W
  double decay = 0;                 // mm over which the amplitude falls to 1/e
  double maximum_displacement = 0;  // voxels
  double steepest_fall = 0;  // the most that a displacement may fall from one voxel to the next, in voxels
};

// The control coefficients along W that a block of the CUDA kernel has room for.
constexpr int64_t kMostCoefficientsOfRow = 6000;

namespace cuda {
// `volume` [D, H, W] distorted by the field that `control` [d, h, w] and `distances` [D, H, W] in mm make; all float32,
// dense and on one device. Nothing waits for it.
at::Tensor distorted(const at::Tensor& volume, const at::Tensor& distances, const at::Tensor& control,
                     const FieldAlongAxis& field);
}  // namespace cuda

}  // namespace transfer_limits
