#pragma once

#include "layers/deterministic.h"

namespace transfer_limits {

// A feature map [N, C, D, H, W] at other spatial sizes, trilinear between voxels' centres.
inline at::Tensor resize_to(const at::Tensor& x, at::IntArrayRef size) {
  if (x.sizes().slice(2) == size) return x;
  return trilinear(x, size);
}

}  // namespace transfer_limits
