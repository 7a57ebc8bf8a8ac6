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

// The same volume [N, C, D, H, W], for LibTorch's operations on volumes: of a single sample in channels-last memory. LibTorch
// tells a layout by all strides, also by that of an axis of one, which means nothing and with which its own pointwise
// operations leave something else than it looks for: it would take such a volume for one of another layout, and turn it there
// and back.
inline at::Tensor with_plain_strides(const at::Tensor& x) {
  if (x.dim() != 5 || x.size(0) != 1 || !x.is_contiguous(at::MemoryFormat::ChannelsLast3d) ||
      x.is_contiguous() || x.suggest_memory_format() == at::MemoryFormat::ChannelsLast3d) {
    return x;
  }
  const at::Tensor voxels = x.permute({0, 2, 3, 4, 1});         // [1, D, H, W, C]
  return voxels.view(voxels.sizes()).permute({0, 4, 1, 2, 3});  // a view in one piece has plain strides
}

}  // namespace transfer_limits
