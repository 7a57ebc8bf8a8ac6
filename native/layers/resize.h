#pragma once

#include "modules.h"

namespace transfer_limits {

// A feature map [N, C, D, H, W] at other spatial sizes, trilinear between voxels' centres.
inline at::Tensor resize_to(const at::Tensor& x, at::IntArrayRef size) {
  if (x.sizes().slice(2) == size) return x;
  return at::upsample_trilinear3d(x, size, /*align_corners=*/false);
}

}  // namespace transfer_limits
