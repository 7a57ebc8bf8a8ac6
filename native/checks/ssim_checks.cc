#include "checks/checks.h"
#include "kernels/ssim.h"
#include "kernels/ssim_rows.h"

namespace transfer_limits::checks {
namespace {

constexpr double kDataRange = 2.0;

// Local means by a convolution with the window, of [N, C, D, H, W] in float64.
at::Tensor local_mean(const at::Tensor& x, const at::Tensor& kernel) {
  return at::conv3d(x.flatten(0, 1).unsqueeze(1), kernel);  // [N C, 1, D - 10, H - 10, W - 10]
}

// The definition, by LibTorch's convolution: [N].
at::Tensor reference(const at::Tensor& x, const at::Tensor& y) {
  const at::Tensor offsets = at::arange(-5, 6, at::kDouble);
  const at::Tensor line = at::exp(-offsets * offsets / (2 * 1.5 * 1.5));
  const at::Tensor taps = line / line.sum();  // [11]
  const at::Tensor kernel =
      (taps.view({-1, 1, 1}) * taps.view({1, -1, 1}) * taps.view({1, 1, -1})).view({1, 1, 11, 11, 11});
  const double c1 = 0.01 * kDataRange * 0.01 * kDataRange, c2 = 0.03 * kDataRange * 0.03 * kDataRange;
  const at::Tensor mean_x = local_mean(x, kernel), mean_y = local_mean(y, kernel);
  const at::Tensor variance_x = local_mean(x * x, kernel) - mean_x * mean_x;
  const at::Tensor variance_y = local_mean(y * y, kernel) - mean_y * mean_y;
  const at::Tensor covariance = local_mean(x * y, kernel) - mean_x * mean_y;
  const at::Tensor similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2) /
                                ((mean_x * mean_x + mean_y * mean_y + c1) * (variance_x + variance_y + c2));
  return similarity.view({x.size(0), -1}).mean(1);
}

struct Answer {
  at::Tensor similarity, to_a, to_b;
};

// With gradients with respect to those volumes that ask for one.
Answer through_autograd(const at::Tensor& a, const at::Tensor& b, const at::Tensor& to_answer) {
  const at::Tensor similarity = ssim3d(a, b, kDataRange);
  std::vector<at::Tensor> inputs;
  for (const at::Tensor& volume : {a, b}) {
    if (volume.requires_grad()) inputs.push_back(volume);
  }
  if (inputs.empty()) return {similarity, {}, {}};
  const auto gradients = torch::autograd::grad({similarity}, inputs, {to_answer});
  return {similarity.detach(), a.requires_grad() ? gradients.front() : at::Tensor(),
          b.requires_grad() ? gradients.back() : at::Tensor()};
}

// The same by the CUDA kernels, of tensors on the CPU.
Answer emulated(const at::Tensor& a, const at::Tensor& b, const at::Tensor& to_answer) {
  const at::NoGradGuard no_grad;
  const SsimWindow window = ssim_window(kDataRange);
  const at::Tensor x = a.contiguous(), y = b.contiguous();
  SsimDerivatives derivatives;
  const bool any = a.requires_grad() || b.requires_grad();
  const auto sized = [&x] {
    return at::full({x.size(0), x.size(1), x.size(2) - 10, x.size(3) - 10, x.size(4) - 10}, NAN, x.options());
  };
  if (a.requires_grad()) derivatives.to_mean_a = sized();
  if (b.requires_grad()) derivatives.to_mean_b = sized();
  if (any) derivatives.to_squares = sized();
  if (any) derivatives.to_product = sized();
  const at::Tensor similarity = cuda::ssim_of_rows(x, y, window, derivatives);
  if (!any) return {similarity, {}, {}};
  const auto [to_a, to_b] = cuda::ssim_gradients_of_rows(x, y, window, derivatives, to_answer);
  return {similarity, to_a, to_b};
}

}  // namespace

void check_ssim(Report& report) {
  const auto own = report.target() == Target::kEmulatedCuda ? &emulated : &through_autograd;
  // [N, C, D, H, W]: one window, more tiles than one along every axis, several samples and channels
  const std::vector<std::vector<int64_t>> sizes = {
      {1, 1, 11, 11, 11}, {2, 3, 12, 13, 11}, {1, 2, 27, 30, 29}, {2, 1, 14, 45, 27}};
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    const std::string name = std::string(", ") + at::toString(type);
    const double tolerance = type == at::kFloat ? 2e-6 : 1e-13;
    for (const std::vector<int64_t>& size : sizes) {
      const at::Tensor a = values(size, 1, type), b = (0.6 * a + 0.4 * values(size, 2, type)).to(type);
      const at::Tensor to_answer = values({size[0]}, 3, at::kDouble);
      const at::Tensor x = a.to(at::kDouble).requires_grad_(), y = b.to(at::kDouble).requires_grad_();
      const at::Tensor similarity = reference(x, y);
      const auto wanted = torch::autograd::grad({similarity}, {x, y}, {to_answer});
      const auto others = layouts(b.to(report.device()));
      size_t layout = 0;
      for (const at::Tensor& volume : layouts(a.to(report.device()))) {
        const at::Tensor& other = others[layout++];
        const at::Tensor g = to_answer.to(report.device());
        report.compare("SSIM" + name, own(volume, other, g).similarity, similarity.detach(), 1e-12);
        const at::Tensor first = volume.detach().requires_grad_(), second = other.detach().requires_grad_();
        const Answer both = own(first, second, g);
        report.compare("SSIM with derivatives" + name, both.similarity, similarity.detach(), 1e-12);
        report.compare("SSIM, gradient of both volumes" + name, both.to_a, wanted[0], tolerance);
        report.compare("SSIM, gradient of both volumes" + name, both.to_b, wanted[1], tolerance);
        report.compare("SSIM, gradient of the first volume" + name, own(first, other, g).to_a, wanted[0],
                       tolerance);
        report.compare("SSIM, gradient of the second volume" + name, own(volume, second, g).to_b, wanted[1],
                       tolerance);
      }
    }
  }
}

}  // namespace transfer_limits::checks
