#include "checks/checks.h"
#include "kernels/expected_intensity.h"

namespace transfer_limits::checks {
namespace {

struct ImageCase {
  std::vector<int64_t> logits;  // [N, bins, d, h, w]
  std::vector<int64_t> size;
};

// By the CUDA kernels, of tensors on the CPU: the expectation and the gradient.
std::pair<at::Tensor, at::Tensor> emulated(const at::Tensor& logits, const at::Tensor& centres,
                                           at::IntArrayRef size, const at::Tensor& gradient) {
  const at::Tensor rows = logits.movedim(1, -1).contiguous();  // [N, d, h, w, bins]
  const at::Tensor answer = cuda::expectation_of_bins(rows, centres, size);
  return {answer, cuda::expectation_of_bins_backward(rows, centres, answer, gradient).movedim(-1, 1)};
}

std::pair<at::Tensor, at::Tensor> through_autograd(const at::Tensor& logits, const IntensityBins& bins,
                                                   at::IntArrayRef size, const at::Tensor& gradient) {
  const at::Tensor leaf = logits.detach().requires_grad_();
  const at::Tensor answer = expected_intensity(leaf, bins, size);
  return {answer.detach(), torch::autograd::grad({answer}, {leaf}, {gradient})[0]};
}

}  // namespace

void check_expected_intensity(Report& report) {
  // Equal sizes, one voxel, twice to five times as large along some axes, sizes that divide nothing, smaller ones;
  // bins that fill no load, no lanes, and all of a warp
  const ImageCase cases[] = {
      {{1, 64, 3, 4, 5}, {12, 16, 20}}, {{2, 64, 2, 3, 2}, {2, 3, 2}},  {{1, 1, 1, 1, 1}, {3, 1, 2}},
      {{1, 7, 2, 3, 4}, {7, 3, 9}},     {{2, 30, 1, 2, 3}, {5, 2, 6}},  {{1, 33, 3, 1, 2}, {3, 4, 11}},
      {{1, 100, 2, 2, 3}, {5, 4, 6}},   {{1, 128, 2, 5, 3}, {3, 6, 4}}, {{1, 32, 7, 6, 5}, {3, 4, 2}},
      {{3, 12, 4, 3, 2}, {4, 6, 5}},    {{1, 200, 2, 3, 2}, {4, 3, 7}}};
  for (const ImageCase& c : cases) {
    // More bins than the CUDA kernel takes are LibTorch's.
    if (report.target() == Target::kEmulatedCuda && c.logits[1] > kMostBinsOnCuda) continue;
    const IntensityBins bins{c.logits[1], -0.5, 1.5};
    const at::Tensor logits = values(c.logits, 1, at::kFloat).mul_(6);
    const at::Tensor gradient = values({c.logits[0], 1, c.size[0], c.size[1], c.size[2]}, 2, at::kFloat);
    const double half = 1.0 / double(bins.count);
    const at::Tensor centres = at::linspace(bins.low + half, bins.high - half, bins.count, at::kDouble);
    const at::Tensor exact = logits.to(at::kDouble).requires_grad_();
    const at::Tensor resized = at::upsample_trilinear3d(exact, c.size, /*align_corners=*/false);
    const at::Tensor wanted =
        (at::softmax(resized, 1) * centres.view({1, -1, 1, 1, 1})).sum(1, /*keepdim=*/true);
    const at::Tensor to_logits = torch::autograd::grad({wanted}, {exact}, {gradient.to(at::kDouble)})[0];
    if (report.target() != Target::kEmulatedCuda) {
      const at::Tensor double_logits = logits.to(report.device(), at::kDouble);
      const auto [answer, found] =
          through_autograd(double_logits, bins, c.size, gradient.to(double_logits.options()));
      report.compare("expected intensity in float64", answer, wanted.detach(), 1e-13);
      report.compare("gradient of the expected intensity in float64", found + 1, to_logits + 1, 1e-13);
    }
    for (const at::Tensor& own : layouts(logits.to(report.device()))) {
      const at::Tensor g = gradient.to(report.device());
      const auto [answer, found] = report.target() == Target::kEmulatedCuda
                                       ? emulated(own, centres.to(at::kFloat), c.size, g)
                                       : through_autograd(own, bins, c.size, g);
      report.compare("expected intensity", answer, wanted.detach(), 2e-6);
      if (bins.count > 1) {
        report.compare("gradient of the expected intensity", found, to_logits, 5e-6);
      } else {
        report.compare("gradient of the expected intensity, one bin", found + 1, at::ones_like(found).cpu(),
                       0.0);
      }
    }
  }
}

}  // namespace transfer_limits::checks
