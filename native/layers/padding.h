#pragma once

#include "modules.h"

namespace transfer_limits {

// Repeats the last voxels of a volume [N, C, D, H, W] until the spatial axes have the given sizes.
at::Tensor pad_to(const at::Tensor& x, std::array<int64_t, 3> sizes);

// Pads every spatial axis to at least `minimum`.
at::Tensor pad_to_minimum(const at::Tensor& x, int64_t minimum);

// Pads every spatial axis up to a multiple of `multiple`.
at::Tensor pad_to_multiple(const at::Tensor& x, int64_t multiple);

// The first `sizes` voxels along the spatial axes: what undoes padding.
at::Tensor crop_to(const at::Tensor& x, std::array<int64_t, 3> sizes);

}  // namespace transfer_limits
