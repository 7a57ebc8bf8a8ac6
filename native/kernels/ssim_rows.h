#pragma once

#include <torch/torch.h>

#include <array>

#include "kernels/ssim.h"

namespace transfer_limits {

// The constants and the window of SSIM.
struct SsimWindow {
  std::array<double, kSsimWindow> taps;  // along one axis; they sum to 1
  double c1, c2;
};

// SSIM of dense volumes [N, C, D, H, W] on the CPU, both float32 or both float64: [N] in float64, differentiable with
// respect to both. The filter goes over the three axes row by row, so that what lies between them stays in the cache, and
// only in float64; no number depends on the threads.
at::Tensor ssim_by_rows(const at::Tensor& a, const at::Tensor& b, const SsimWindow& window);

}  // namespace transfer_limits
