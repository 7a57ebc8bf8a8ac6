#include <ATen/core/PhiloxRNGEngine.h>

#include <algorithm>
#include <cmath>

#include "checks/checks.h"
#include "kernels/philox_uniform.h"

namespace transfer_limits::checks {
namespace {

at::Tensor seed_on(const Report& report, uint64_t seed) {
  return at::full({1}, int64_t(seed), at::TensorOptions(at::kLong)).to(report.device());
}

at::Tensor drawn(const Report& report, int64_t count, uint64_t seed, int64_t draw, int64_t first) {
  if (report.target() != Target::kEmulatedCuda)
    return philox_uniform(count, seed_on(report, seed), draw, first).cpu();
  at::Tensor out = at::full({count}, std::nanf(""), at::kFloat);
  cuda::fill_philox_uniform(out, seed_on(report, seed), draw, first);
  return out;
}

// By LibTorch's generator: the draw stands in the lower half of its subsequence, 1 in the upper one.
float expected(int64_t n, uint64_t seed, int64_t draw) {
  at::Philox4_32 words(seed, (uint64_t(1) << 32) | uint64_t(draw), uint64_t(n / 4));
  for (int64_t before = 0; before < n % 4; ++before) words();
  return float(words() >> 8) / 16777216.0f;
}

}  // namespace

void check_philox_uniform(Report& report) {
  double wrong = 0;
  for (const int64_t first : {int64_t(0), int64_t(3), int64_t(1021), (int64_t(1) << 34) - 2}) {
    for (const int64_t draw : {0, 1, 77}) {
      for (const uint64_t seed : {uint64_t(3), uint64_t(0xfedcba9876543210)}) {
        const at::Tensor got = drawn(report, 300, seed, draw, first);
        for (int64_t n = 0; n < 300; ++n)
          wrong += got.const_data_ptr<float>()[n] == expected(first + n, seed, draw) ? 0 : 1;
      }
    }
  }
  report.judge("uniform draws, numbers that are not LibTorch's", wrong, 0);
  report.judge("uniform draws, none", double(drawn(report, 0, 1, 0, 0).numel()), 0);

  // As many draws as steps have, of as many samples: over samples and over draws alike.
  constexpr int64_t kDraws = 1000, kSamples = 1000, kCount = kDraws * kSamples;
  at::Tensor all = at::empty({kDraws, kSamples}, at::kFloat);
  for (int64_t draw = 0; draw < kDraws; ++draw) all[draw].copy_(drawn(report, kSamples, 11, draw, 0));
  const at::Tensor sorted = std::get<0>(all.flatten().to(at::kDouble).sort());
  const at::Tensor rank = at::arange(kCount, at::kDouble);
  const double above = ((rank + 1) / double(kCount) - sorted).max().item<double>();
  const double below = (sorted - rank / double(kCount)).max().item<double>();
  // Of Kolmogorov and Smirnov, exceeded by one seed in a thousand
  report.judge("uniform draws, distance from the uniform distribution", std::max(above, below),
               1.95 / std::sqrt(double(kCount)));
  const at::Tensor centred = (all.to(at::kDouble) - 0.5) * std::sqrt(12.0);
  for (const at::Tensor& sequence : {centred.flatten(), centred.t().flatten()}) {
    double largest = 0;
    for (int64_t lag = 1; lag <= 64; ++lag) {
      const int64_t pairs = kCount - lag;
      const at::Tensor products = sequence.slice(0, 0, pairs) * sequence.slice(0, lag, kCount);
      largest = std::max(largest, std::abs(products.sum().item<double>()) / std::sqrt(double(pairs)));
    }
    report.judge("uniform draws, largest autocorrelation at lags 1 to 64 in standard errors", largest, 4.5);
  }
}

}  // namespace transfer_limits::checks
