#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/cuda.h>

#include <cstdio>

#include "checks/checks.h"
#include "kernels/depthwise_conv3d.h"
#include "kernels/device_clock.h"
#include "kernels/expected_intensity.h"
#include "kernels/gelu_grn.h"
#include "kernels/mmd.h"
#include "kernels/ssim.h"

namespace transfer_limits::checks {
namespace {

at::Tensor sum_of(double value) { return at::full({1}, value, at::kDouble); }

// Of every kernel something of ordinary size, from tensors on `device`.
std::vector<std::pair<std::string, at::Tensor>> some_of_each(const at::Device& device) {
  const at::NoGradGuard no_grad;
  const auto placed = [&](const std::vector<int64_t>& size, uint64_t seed, at::ScalarType type) {
    return values(size, seed, type).to(device);
  };
  const at::Tensor x = placed({2, 17, 9, 19, 23}, 1, at::kFloat),
                   weight = placed({17, 1, 7, 7, 7}, 2, at::kFloat), bias = placed({17}, 3, at::kFloat);
  std::vector<std::pair<std::string, at::Tensor>> result;
  result.emplace_back("depthwise 7x7x7", depthwise_conv3d(x, weight, bias));
  result.emplace_back("depthwise 7x7x7, input gradient", depthwise_conv3d_input_gradient(x, weight));
  const auto [to_weight, to_bias] = depthwise_conv3d_weight_gradient(x, x, 7);
  result.emplace_back("depthwise 7x7x7, weight gradient", to_weight);
  result.emplace_back("depthwise 7x7x7, bias gradient", to_bias);
  const auto [answer, norms] = gelu_with_norms(placed({2, 130, 40}, 4, at::kFloat),
                                               placed({40}, 5, at::kFloat), {}, /*in_place=*/false);
  result.emplace_back("GELU before GRN", answer);
  result.emplace_back("norms of GRN", norms);
  result.emplace_back("SSIM", ssim3d(placed({2, 1, 14, 45, 27}, 6, at::kFloat),
                                     placed({2, 1, 14, 45, 27}, 7, at::kFloat), 1.0));
  result.emplace_back("expected intensity",
                      expected_intensity(placed({1, 16, 5, 6, 7}, 8, at::kFloat),
                                         IntensityBins{16, 0.0, 1.0, false}, {9, 11, 13}));
  const KernelSums sums = gaussian_kernel_sums(
      placed({157, 201}, 9, at::kFloat), placed({90, 201}, 10, at::kFloat), {10.0}, {}, Products::kFloat32);
  result.emplace_back("MMD sums",
                      at::tensor({sums.within_a[0], sums.within_b[0], sums.between[0]}, at::kDouble));
  return result;
}

void compare_all(Report& report, const std::string& where, const at::Device& device) {
  const auto wanted = some_of_each(at::kCPU), own = some_of_each(device);
  for (size_t index = 0; index < wanted.size(); ++index) {
    report.compare(wanted[index].first + ", " + where, own[index].second, wanted[index].second, 1e-5);
  }
}

// Long work on a stream before what a kernel reads is written there: a kernel on another stream would read what was before.
void check_stream(Report& report, const std::string& where, const at::Device& device) {
  const c10::impl::VirtualGuardImpl guards(device.type());
  const c10::StreamGuard stream(guards.getStreamFromGlobalPool(device));
  const at::Tensor matrix = at::ones({4096, 4096}, at::TensorOptions(device).dtype(at::kFloat)) / 4096;
  const at::Tensor x = at::zeros({1, 8, 16, 32, 32}, at::TensorOptions(device).dtype(at::kFloat));
  const at::Tensor filter = values({8, 1, 7, 7, 7}, 2, at::kFloat);
  const at::Tensor weight = filter.to(device);
  at::Tensor product = matrix;
  for (int repeat = 0; repeat < 30; ++repeat) product = at::mm(product, matrix);
  x.add_(product[0][0] * 4096);  // ones, once all of that is done
  const at::Tensor own = depthwise_conv3d(x, weight, {});
  report.compare("depthwise 7x7x7 waits for its stream, " + where, own,
                 depthwise_conv3d(at::ones(x.sizes()), filter, {}), 1e-4);
  compare_all(report, "on a stream of its own, " + where, device);
}

}  // namespace

void check_devices(Report& report) {
  if (report.target() == Target::kEmulatedCuda) return;
  if (report.target() == Target::kCpu) return compare_all(report, "twice", at::kCPU);
  const auto count = static_cast<c10::DeviceIndex>(torch::cuda::device_count());
  for (c10::DeviceIndex index = 0; index < std::min<c10::DeviceIndex>(count, 2); ++index) {
    const at::Device device(at::kCUDA, index);  // the present device stays the first
    compare_all(report, device.str(), device);
    check_stream(report, device.str(), device);
    DeviceClock clock(marks_on(device));
    {
      const DeviceClock::Work work(&clock);
      compare_all(report, device.str() + ", timed", device);
    }
    report.compare("time of the device, " + device.str(), sum_of(clock.milliseconds() > 0 ? 1 : 2), sum_of(1),
                   0.0);
  }
  if (count < 2) std::printf("A second device was not checked: there is one\n");
}

// Numbers of features that fill no load of 16 bytes, in every way of multiplying.
void check_odd_widths(Report& report) {
  std::vector<std::pair<const char*, Products>> ways = {{"float32", Products::kFloat32}};
  if (report.target() == Target::kCpu) {
    ways.emplace_back("int16", Products::kInt16);
  } else {
    ways.emplace_back("three-term bfloat16", Products::kThreeTermBfloat16);
    ways.emplace_back("bfloat16", Products::kBfloat16);
  }
  for (const int64_t d : {1, 3, 5, 7, 9, 31, 127, 255, 767, 769}) {
    const at::Tensor a = values({140, d}, 1, at::kFloat), b = values({150, d}, 2, at::kFloat);
    const double sigma = std::sqrt(2.0 * double(d) / 3.0);
    const double wanted =
        (at::cdist(a.to(at::kDouble), b.to(at::kDouble), 2.0, /*compute_mode=*/2).square() / -(sigma * sigma))
            .exp()
            .sum()
            .item<double>();
    for (const auto& [name, products] : ways) {
      const double tolerance = products == Products::kBfloat16 ? 5e-3 : 1e-5;
      const KernelSums sums =
          report.target() == Target::kEmulatedCuda
              ? cuda::kernel_sums_by_products(a, b, at::cat({a, b}).to(at::kDouble).mean(0),
                                              {-1.0 / (sigma * sigma)}, products, {})
              : gaussian_kernel_sums(a.to(report.device()), b.to(report.device()), {sigma}, {}, products);
      report.compare(std::string("MMD sums of odd widths, ") + name, sum_of(sums.between[0]), sum_of(wanted),
                     tolerance);
    }
  }
}

// More than 2^31 elements: what lies behind them is as it is when it is all there is. Sums in float32 may be taken in
// other parts then.
void check_large_tensors(Report& report) {
  if (report.target() != Target::kCuda) return;  // 10 to 20 GB of a GPU
  const at::NoGradGuard no_grad;
  const at::Device device = report.device();
  const auto drawn = [&](const std::vector<int64_t>& size, at::ScalarType type) {
    return at::rand(size, at::TensorOptions(device).dtype(type));
  };
  {
    const at::Tensor x = drawn({1, 64, 134, 512, 512}, at::kBFloat16);  // 2.2e9
    const at::Tensor weight = drawn({64, 1, 7, 7, 7}, at::kBFloat16) - 0.5;
    const at::Tensor end = x.slice(2, 134 - 10);
    const auto last = [](const at::Tensor& volume) { return volume.slice(2, volume.size(2) - 4).clone(); };
    report.compare("depthwise 7x7x7 of 2.2e9 elements", last(depthwise_conv3d(x, weight, {})),
                   last(depthwise_conv3d(end, weight, {})), 4e-3);
    report.compare("depthwise 7x7x7 of 2.2e9 elements, input gradient",
                   last(depthwise_conv3d_input_gradient(x, weight)),
                   last(depthwise_conv3d_input_gradient(end, weight)), 4e-3);
  }
  {
    const int64_t rows = 4'300'000;
    at::Tensor hidden = drawn({1, rows, 512}, at::kBFloat16);  // 2.2e9
    const at::Tensor bias = drawn({512}, at::kFloat);
    const at::Tensor end = hidden.slice(1, rows - 100).clone();
    const at::Tensor wanted = gelu_with_norms(end, bias, {}, /*in_place=*/false).first;
    const at::Tensor own = gelu_with_norms(hidden, bias, {}, /*in_place=*/true).first;
    report.compare("GELU of 2.2e9 elements", own.slice(1, rows - 100), wanted, 0.0);
  }
  {
    const at::Tensor a = drawn({40, 1, 96, 750, 750}, at::kFloat),
                     b = drawn({40, 1, 96, 750, 750}, at::kFloat);
    report.compare("SSIM of 2.2e9 voxels", ssim3d(a, b, 1.0).slice(0, 39),
                   ssim3d(a.slice(0, 39), b.slice(0, 39), 1.0), 1e-7);
  }
  {
    const IntensityBins bins{64, 0.0, 1.0, false};
    const at::Tensor logits = drawn({35, 64, 96, 101, 101}, at::kFloat);  // 2.2e9
    report.compare("expected intensity of 2.2e9 logits",
                   expected_intensity(logits, bins, {96, 101, 101}).slice(0, 34),
                   expected_intensity(logits.slice(0, 34), bins, {96, 101, 101}), 1e-6);
  }
  {
    const at::Tensor a = drawn({47'000, 9}, at::kFloat), b = drawn({47'000, 9}, at::kFloat);  // 2.2e9 pairs
    const auto between = [](const at::Tensor& one, const at::Tensor& other) {
      return gaussian_kernel_sums(one, other, {1.0}, {}, Products::kFloat32).between[0];
    };
    report.compare("MMD sums of 2.2e9 pairs", sum_of(between(a, b)),
                   sum_of(between(a, b.slice(0, 0, 20'000)) + between(a, b.slice(0, 20'000))), 1e-7);
  }
}

}  // namespace transfer_limits::checks
