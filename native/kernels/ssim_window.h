#pragma once

#include <cstdint>

namespace transfer_limits {

// The side of SSIM's Gaussian window: no spatial size may be smaller.
constexpr int64_t kSsimWindow = 11;

// The constants and the window of SSIM; CUDA kernels take it as it is.
struct SsimWindow {
  double taps[kSsimWindow];  // along one axis; symmetric, and they sum to 1
  double c1, c2;
};

}  // namespace transfer_limits
