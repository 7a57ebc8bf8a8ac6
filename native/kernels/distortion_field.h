#pragma once

#include <cstdint>

#include "kernels/simd_math.h"

namespace transfer_limits {

// What CPU and CUDA compute a displacement field along one axis of a volume by; see volumes/distortion.h.

struct FieldAlongAxis {
  int64_t axis = 1;                 // 0 is D, 1 is H, 2 is W
  double spacing = 0;               // mm along it
  double decay = 0;                 // mm over which the amplitude falls to 1/e
  double maximum_displacement = 0;  // mm
  double allowed_fall = 0;          // from one voxel to the next, in voxels
};

// Which four coefficients of a cubic B-spline a voxel sees, and how much of each.
struct SplineWeights {
  int64_t first;
  double weights[4];
};

// Of voxel `voxel` of `size`, the outermost of which lie at both ends of the spline's range of `coefficients` - 3 pieces.
TRANSFER_LIMITS_ANYWHERE TRANSFER_LIMITS_INLINE SplineWeights spline_weights(int64_t voxel, int64_t size,
                                                                             int64_t coefficients) {
  const double pieces = double(coefficients - 3);
  const double position = size == 1 ? pieces / 2 : double(voxel) * pieces / double(size - 1);
  const int64_t below = int64_t(position), last = coefficients - 4, first = below < last ? below : last;
  const double t = position - double(first), s = 1 - t;
  return {first,
          {s * s * s / 6, (4 - 6 * t * t + 3 * t * t * t) / 6, (4 - 6 * s * s + 3 * s * s * s) / 6,
           t * t * t / 6}};
}

// How a field is scaled, by which its values in voxels follow from its shape.
struct FieldScaling {
  double factor;  // from the shape to voxels
  double scale;   // what is left of the maximum displacement
};

// From the shape's largest absolute value and its steepest fall from one voxel to the next.
TRANSFER_LIMITS_ANYWHERE TRANSFER_LIMITS_INLINE FieldScaling field_scaling(const FieldAlongAxis& field,
                                                                           double largest, double fall) {
  const double whole = largest > 0 ? field.maximum_displacement / (largest * field.spacing) : 0;
  const double scale = whole * fall > field.allowed_fall ? field.allowed_fall / (whole * fall) : 1;
  return {whole * scale, scale};
}

}  // namespace transfer_limits
