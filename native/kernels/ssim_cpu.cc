#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <vector>

#include "error.h"
#include "kernels/ssim.h"
#include "kernels/ssim_rows.h"

namespace transfer_limits {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr double kSigma = 1.5;
constexpr double kK1 = 0.01;
constexpr double kK2 = 0.03;

class SsimFunction : public torch::autograd::Function<SsimFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& a, const at::Tensor& b,
                            const SsimWindow& window, bool differentiated) {
    SsimDerivatives derivatives;
    if (differentiated) {
      constexpr int64_t kReach = kSsimWindow - 1;
      const auto sized = [&a] {
        return at::empty({a.size(0), a.size(1), a.size(2) - kReach, a.size(3) - kReach, a.size(4) - kReach},
                         a.options());
      };
      if (a.requires_grad()) derivatives.to_mean_a = sized();
      if (b.requires_grad()) derivatives.to_mean_b = sized();
      derivatives.to_squares = sized();
      derivatives.to_product = sized();
      context->save_for_backward({a, b, derivatives.to_mean_a, derivatives.to_mean_b, derivatives.to_squares,
                                  derivatives.to_product});
      context->saved_data["taps"] = std::vector<double>(std::begin(window.taps), std::end(window.taps));
    }
    return ssim_of_rows(a, b, window, derivatives);
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    SsimWindow window{};
    const auto taps = context->saved_data["taps"].toDoubleVector();
    std::copy(taps.begin(), taps.end(), std::begin(window.taps));
    SsimDerivatives derivatives{{}, {}, saved[4], saved[5]};
    if (context->needs_input_grad(0)) derivatives.to_mean_a = saved[2];
    if (context->needs_input_grad(1)) derivatives.to_mean_b = saved[3];
    const auto [to_a, to_b] =
        ssim_gradients_of_rows(saved[0], saved[1], window, derivatives, gradients[0].contiguous());
    return {to_a, to_b, at::Tensor(), at::Tensor()};
  }
};

at::Tensor as_batch(const at::Tensor& volume) {
  return volume.dim() == 3 ? volume.unsqueeze(0).unsqueeze(0) : volume;  // [N, C, D, H, W]
}

}  // namespace

SsimWindow ssim_window(double data_range) {
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
  const SsimWindow window = ssim_window(data_range);
  const at::Tensor x = as_batch(a), y = as_batch(b);
  const bool single = x.scalar_type() == at::kFloat && y.scalar_type() == at::kFloat;
  const at::ScalarType type = single ? at::kFloat : at::kDouble;
  const at::Tensor first = x.to(type).contiguous(), second = y.to(type).contiguous();
  const bool differentiated = at::GradMode::is_enabled() && (first.requires_grad() || second.requires_grad());
  return SsimFunction::apply(first, second, window, differentiated);
}

}  // namespace transfer_limits
