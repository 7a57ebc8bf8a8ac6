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

// The expectation of the bins' centres under the softmax of their logits: [N, count, ..] -> [N, 1, ..]. What is added
// to all bins alike, such as the input that a head adds to its answer, cancels.
inline at::Tensor expected_intensity(const at::Tensor& logits, const IntensityBins& bins) {
  const double half = (bins.high - bins.low) / double(2 * bins.count);
  const at::Tensor centres =
      at::linspace(bins.low + half, bins.high - half, bins.count, logits.options());  // [count]
  const at::Tensor shares = at::softmax(logits, 1).movedim(1, -1);                    // [N, .., count]
  return at::matmul(shares, centres).unsqueeze(1);                                    // [N, 1, ..]
}

}  // namespace transfer_limits
