#pragma once

#include "modules.h"

namespace transfer_limits {

// x [N, C, D, H, W] in channels-last memory. Of a single channel every layout is both, and LibTorch's convolutions would take
// the other: its strides say which one is meant.
inline at::Tensor channels_last(const at::Tensor& x) {
  at::Tensor dense = x.contiguous(at::MemoryFormat::ChannelsLast3d);
  if (x.size(1) > 1 || x.numel() == 0) return dense;
  const int64_t w = x.size(4), h = x.size(3), d = x.size(2);
  return dense.as_strided(x.sizes(), {d * h * w, 1, h * w, w, 1});
}

}  // namespace transfer_limits
