#pragma once

#include <torch/torch.h>

#include <cstdint>

namespace transfer_limits {

// Intensities as `count` bins of equal width from `low` to `high`.
struct IntensityBins {
  int64_t count = 64;
  double low = 0.0;
  double high = 1.0;
};

// The expectation of the bins' centres under the softmax of their logits [N, count, d, h, w], which are first resized
// to `size`, trilinear between voxel centres: [N, 1, D, H, W]. Float32 on a CPU never holds the logits of all voxels at
// once: `count` times the volume is more than the rest of a network's activations. Anything else takes LibTorch's
// operations one after another.
at::Tensor expected_intensity(const at::Tensor& logits, const IntensityBins& bins, at::IntArrayRef size);

}  // namespace transfer_limits
