// Displacement fields as gas in the rectum causes them: largest at the rectum, decaying with distance, along the
// phase-encoding direction alone, smooth, and never folding.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/distortion_field.h"
#include "tensor.h"

namespace transfer_limits::volumes {

// Where the rectum lies when no mask says so: the plane right behind the box around `gland` [D, H, W], as tall and as
// wide as the box. Back is the end of the H axis, as preprocessing orders it. Throws BAD_INPUT for an empty mask.
at::Tensor region_behind(const at::Tensor& gland);

struct DistortionOptions {
  std::array<double, 3> spacing{};  // voxel size [D, H, W] in mm
  int64_t axis = 1;                 // the phase-encoding direction: 0 is D, 1 is H, 2 is W
  double maximum_displacement = 0;  // mm
  double decay = 0;                 // mm over which the amplitude falls to 1/e
  double least_jacobian = 0.1;      // 0 <= least_jacobian < 1
};

// How kernels take them.
FieldAlongAxis field_along_axis(const DistortionOptions& options);

struct Distortion {
  at::Tensor field;  // [3, D, H, W] in voxels, as `warp` takes it; zero but along `axis`
  double scale;      // what is left of the maximum displacement: 1 unless the field would have been too steep
  double jacobian_minimum;  // of x -> x + u(x), exact
};

// The field exp(-distance / decay) * noise, scaled so that its largest displacement is `maximum_displacement`; and
// then, where the Jacobian determinant 1 + du/dx would fall below `least_jacobian`, down until it does not. `distances`
// [D, H, W] in mm are those of `distance_transform`, from the same voxels in every draw of a case. The noise is the
// uniform cubic B-spline whose coefficients are `control` [d, h, w], at least 4 each, stretched over the volume: standard
// normal draws, say.
Distortion distortion_field(const at::Tensor& distances, const at::Tensor& control,
                            const DistortionOptions& options);

// What `warp` makes of `volume` [D, H, W] by that field, to the bit, without the two components that are zero. Volume and
// distances may lie on a CUDA device, where the answer then is what the CPU's is but for rounding; `control` is on the CPU.
at::Tensor distorted(const at::Tensor& volume, const at::Tensor& distances, const at::Tensor& control,
                     const DistortionOptions& options);

}  // namespace transfer_limits::volumes
