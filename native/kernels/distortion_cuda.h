#pragma once

#include <cstdint>

#include "kernels/cuda_launch.h"
#include "kernels/distortion_field.h"

namespace transfer_limits::cuda {

// A field along one axis, its grid and that of its B-spline.
struct FieldShape {
  int64_t size[3];          // voxels, [D, H, W]
  int64_t coefficients[3];  // of the B-spline
  FieldAlongAxis field;
};

// The field's values [D, H, W] before it is scaled, and the largest of each row's absolute values [D, H].
void shape_field(const FieldShape& shape, const float* distances, const float* control, double* values,
                 double* largest_of_rows, cudaStream_t stream);

// The steepest fall from a voxel to the next along the axis, of each row [D, H]; 0 where values only rise.
void steepest_falls(const FieldShape& shape, const double* values, double* fall_of_rows, cudaStream_t stream);

// The volume where the scaled field takes each of its voxels from. `extremes`, on the device: its largest absolute value and
// steepest fall before.
void warp_along_axis(const FieldShape& shape, const double* extremes, const double* values,
                     const float* volume, float* out, cudaStream_t stream);

}  // namespace transfer_limits::cuda
