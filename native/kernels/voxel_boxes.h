#pragma once

#include <array>

#include "tensor.h"

namespace transfer_limits {

// The edges of a box of voxels: [depth, height, width].
using Box = std::array<int64_t, 3>;

// A volume's voxels, box by box, and back: what a convolution reads, or a transposed one writes, whose stride is as large as
// its kernel. On a CPU, of any type, one thread a row of boxes; each is the other's inverse and the other's gradient.

// x [N, C, D, H, W] of any layout, its sizes multiples of the box's -> [N, D / d, H / h, W / w, d h w C]
at::Tensor boxes_of_voxels(const at::Tensor& x, const Box& box);

// boxes [N, D, H, W, d h w C] of any layout -> [N, C, D d, H h, W w], channels-last
at::Tensor voxels_of_boxes(const at::Tensor& boxes, const Box& box);

}  // namespace transfer_limits
