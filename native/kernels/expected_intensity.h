#pragma once

#include <cstdint>

#include "tensor.h"

namespace transfer_limits {

// Intensities as `count` bins of equal width from `low` to `high`.
struct IntensityBins {
  int64_t count = 64;
  double low = 0.0;
  double high = 1.0;
  // The expectation is what is added to the first channel of the input.
  bool added_to_input = false;
};

// The expectation of the bins' centres under the softmax of their logits [N, count, d, h, w], which are first resized
// to `size`, trilinear between voxel centres: [N, 1, D, H, W]. Float32 on a CPU, and on CUDA with up to 128 bins,
// never holds the logits of all voxels at once: `count` times the volume is more than the rest of a network's
// activations. Anything else takes LibTorch's operations one after another.
at::Tensor expected_intensity(const at::Tensor& logits, const IntensityBins& bins, at::IntArrayRef size);

constexpr int64_t kMostBinsOnCuda = 128;

// The expectation of `centres` [bins], of dense float32 logits [N, d, h, w, bins]: [N, 1, D, H, W].
at::Tensor expectation_of_bins(const at::Tensor& logits, const at::Tensor& centres, at::IntArrayRef size);

// What `gradient`, of that `answer`, gives to the logits. The shares are computed anew: keeping them is what the
// kernel is there to avoid.
at::Tensor expectation_of_bins_backward(const at::Tensor& logits, const at::Tensor& centres,
                                        const at::Tensor& answer, const at::Tensor& gradient);

// What the two do with tensors that lie on a CUDA device.
namespace cuda {
at::Tensor expectation_of_bins(const at::Tensor& logits, const at::Tensor& centres, at::IntArrayRef size);
at::Tensor expectation_of_bins_backward(const at::Tensor& logits, const at::Tensor& centres,
                                        const at::Tensor& answer, const at::Tensor& gradient);
}  // namespace cuda

}  // namespace transfer_limits
