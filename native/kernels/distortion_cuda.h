#pragma once

#include <cstdint>

#include "kernels/cuda_launch.h"

namespace transfer_limits::cuda {

// Of a field along one axis before it is scaled.
struct FieldShape {
  int64_t size[3];          // voxels, [D, H, W]
  int64_t coefficients[3];  // of the B-spline
  int64_t axis;
  double decay;
};

// How it is scaled: by its largest absolute value and its steepest fall, both of which lie on the device.
struct FieldScale {
  double maximum_displacement;
  double steepest_fall;
  const double* largest;
  const double* fall;
};

// The field's values [D, H, W], and the largest of each row's absolute values [D, H].
void shape_field(const FieldShape& shape, const float* distances, const float* control, double* values,
                 double* largest_of_rows, cudaStream_t stream);

// The steepest fall from a voxel to the next along the axis, of each row [D, H]; 0 where values only rise.
void steepest_falls(const FieldShape& shape, const double* values, double* fall_of_rows, cudaStream_t stream);

// The volume where the scaled field takes each of its voxels from.
void warp_along_axis(const FieldShape& shape, const FieldScale& scale, const double* values,
                     const float* volume, float* out, cudaStream_t stream);

}  // namespace transfer_limits::cuda
