#include <cmath>
#include <vector>

#include "error.h"
#include "kernels/ssim.h"
#include "kernels/ssim_rows.h"

namespace transfer_limits {
namespace {

constexpr double kSigma = 1.5;
constexpr double kK1 = 0.01;
constexpr double kK2 = 0.03;

SsimWindow window_of(double data_range) {
  SsimWindow window;
  constexpr int64_t kCentre = kSsimWindow / 2;
  double sum = 0;
  for (int64_t i = 0; i < kSsimWindow; ++i) {
    const double offset = static_cast<double>(i - kCentre);
    window.taps[i] = std::exp(-offset * offset / (2 * kSigma * kSigma));
    sum += window.taps[i];
  }
  for (double& tap : window.taps) tap /= sum;
  window.c1 = kK1 * data_range * kK1 * data_range;
  window.c2 = kK2 * data_range * kK2 * data_range;
  return window;
}

// The Gaussian filter along an axis of `size` voxels as a banded matrix [size, size - 10]: column j holds the
// window that starts at voxel j. As a matrix product the filter has a fast path and a gradient on every
// device, while a float64 convolution unfolds each voxel into its window first.
at::Tensor filter_matrix(int64_t size, const SsimWindow& window, const at::Device& device) {
  const int64_t windows = size - kSsimWindow + 1;
  at::Tensor matrix = at::zeros({size, windows}, at::kDouble);
  auto entries = matrix.accessor<double, 2>();
  for (int64_t j = 0; j < windows; ++j) {
    for (int64_t i = 0; i < kSsimWindow; ++i) entries[j + i][j] = window.taps[i];
  }
  return matrix.to(device);
}

// Local weighted means: the separable filter, one axis after another. Each round filters the last axis and
// moves it to the front of the three, so that after three rounds they stand in order again.
at::Tensor local_mean(at::Tensor volume, const at::Tensor (&filters)[3]) {
  for (int axis = 2; axis >= 0; --axis) {
    volume = at::matmul(volume, filters[axis]).movedim(-1, -3);  // [.., x, y, z] -> [.., z - 10, x, y]
  }
  return volume;  // [N, C, D - 10, H - 10, W - 10]
}

at::Tensor as_batch(const at::Tensor& volume) {
  return volume.dim() == 3 ? volume.unsqueeze(0).unsqueeze(0) : volume;  // [N, C, D, H, W]
}

// By matrix products: on any device.
at::Tensor ssim_by_products(const at::Tensor& x, const at::Tensor& y, const SsimWindow& window) {
  const at::Tensor filters[3] = {filter_matrix(x.size(2), window, x.device()),
                                 filter_matrix(x.size(3), window, x.device()),
                                 filter_matrix(x.size(4), window, x.device())};
  const at::Tensor mean_x = local_mean(x, filters), mean_y = local_mean(y, filters);
  const at::Tensor product = mean_x * mean_y;
  const at::Tensor squares = mean_x * mean_x + mean_y * mean_y;
  const at::Tensor covariance = local_mean(x * y, filters) - product;
  const at::Tensor variances = local_mean(x * x + y * y, filters) - squares;  // of x and of y, added
  const at::Tensor similarity = (2 * product + window.c1) * (2 * covariance + window.c2) /
                                ((squares + window.c1) * (variances + window.c2));
  return similarity.flatten(1).mean(1);  // [N, C, D - 10, H - 10, W - 10] -> [N]
}

}  // namespace

at::Tensor ssim3d(const at::Tensor& a, const at::Tensor& b, double data_range) {
  require(a.sizes() == b.sizes(), "Expected volumes of one shape for SSIM but received ", a.sizes(), " and ",
          b.sizes());
  require(a.dim() == 5 || a.dim() == 3, "Expected [N, C, D, H, W] or [D, H, W] for SSIM but received ",
          a.sizes());
  require(a.numel() > 0, "Expected at least one voxel for SSIM but received ", a.sizes());
  for (int64_t axis = 1; axis <= 3; ++axis) {
    require(a.size(-axis) >= kSsimWindow, "SSIM has a window of ", kSsimWindow, " x ", kSsimWindow, " x ",
            kSsimWindow,
            " voxels that must lie inside the volume: expected every spatial size >= ", kSsimWindow,
            " but received ", a.sizes(), ". Choose a larger shape for the study's volumes");
  }
  require(at::isFloatingType(a.scalar_type()) && at::isFloatingType(b.scalar_type()),
          "Expected floating-point volumes for SSIM but received ", at::toString(a.scalar_type()), " and ",
          at::toString(b.scalar_type()));
  require(std::isfinite(data_range) && data_range > 0,
          "Expected a positive data range for SSIM but received ", data_range);
  const SsimWindow window = window_of(data_range);
  const at::Tensor x = as_batch(a), y = as_batch(b);
  if (!x.device().is_cpu()) return ssim_by_products(x.to(at::kDouble), y.to(at::kDouble), window);
  const bool single = x.scalar_type() == at::kFloat && y.scalar_type() == at::kFloat;
  const at::ScalarType type = single ? at::kFloat : at::kDouble;
  return ssim_by_rows(x.to(type).contiguous(), y.to(type).contiguous(), window);
}

}  // namespace transfer_limits
