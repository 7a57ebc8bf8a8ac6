#include <cmath>
#include <vector>

#include "error.h"
#include "kernels/ssim.h"

namespace transfer_limits {
namespace {

constexpr double kSigma = 1.5;
constexpr double kK1 = 0.01;
constexpr double kK2 = 0.03;

// The Gaussian filter along an axis of `size` voxels as a banded matrix [size, size - 10]: column j holds the
// window that starts at voxel j. As a matrix product the filter has a fast path and a gradient on every
// device, while a float64 convolution unfolds each voxel into its window first.
at::Tensor filter_matrix(int64_t size, const at::Device& device) {
  const int64_t windows = size - kSsimWindow + 1;
  std::vector<double> taps(kSsimWindow);
  constexpr int64_t kCentre = kSsimWindow / 2;
  double sum = 0;
  for (int64_t i = 0; i < kSsimWindow; ++i) {
    const double offset = static_cast<double>(i - kCentre);
    taps[i] = std::exp(-offset * offset / (2 * kSigma * kSigma));
    sum += taps[i];
  }
  at::Tensor matrix = at::zeros({size, windows}, at::kDouble);
  auto entries = matrix.accessor<double, 2>();
  for (int64_t j = 0; j < windows; ++j) {
    for (int64_t i = 0; i < kSsimWindow; ++i) entries[j + i][j] = taps[i] / sum;
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
  const at::Tensor precise = volume.to(at::kDouble);
  return volume.dim() == 3 ? precise.unsqueeze(0).unsqueeze(0) : precise;  // [N, C, D, H, W]
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
  const double c1 = kK1 * data_range * kK1 * data_range;
  const double c2 = kK2 * data_range * kK2 * data_range;

  const at::Tensor x = as_batch(a), y = as_batch(b);
  const at::Tensor filters[3] = {filter_matrix(x.size(2), x.device()), filter_matrix(x.size(3), x.device()),
                                 filter_matrix(x.size(4), x.device())};
  const at::Tensor mean_x = local_mean(x, filters), mean_y = local_mean(y, filters);
  const at::Tensor product = mean_x * mean_y;
  const at::Tensor squares = mean_x * mean_x + mean_y * mean_y;
  const at::Tensor covariance = local_mean(x * y, filters) - product;
  const at::Tensor variances = local_mean(x * x + y * y, filters) - squares;  // of x and of y, added
  const at::Tensor similarity =
      (2 * product + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2));
  return similarity.flatten(1).mean(1);  // [N, C, D - 10, H - 10, W - 10] -> [N]
}

}  // namespace transfer_limits
