#include "volumes/normalise.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "error.h"
#include "volumes/statistics.h"
#include "volumes/volume.h"

namespace transfer_limits::volumes {
namespace {

at::Tensor require_finite_volume(const at::Tensor& volume) {
  const at::Tensor input = require_volume(volume, "volume");
  const int64_t not_finite = statistics(input).not_finite;
  require(not_finite == 0, "Expected finite voxels for volume but received ", not_finite, " of ",
          input.numel(), " that are NaN or infinite");
  return input;
}

// Reorders `values`.
double percentile(std::vector<float>& values, double percent) {
  const double rank = percent / 100 * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::ptrdiff_t>(rank);
  const auto nth = values.begin() + below;
  std::nth_element(values.begin(), nth, values.end());
  const double low = *nth;
  if (nth + 1 == values.end()) return low;
  const double high = *std::min_element(nth + 1, values.end());
  return low + (high - low) * (rank - static_cast<double>(below));
}

template <typename Map>
at::Tensor map_voxels(const at::Tensor& input, const Map& map) {
  at::Tensor output = at::empty_like(input);
  const float* in = input.const_data_ptr<float>();
  float* out = output.data_ptr<float>();
  at::parallel_for(0, input.numel(), kBlock, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out[i] = static_cast<float>(map(static_cast<double>(in[i])));
  });
  return output;
}

}  // namespace

at::Tensor normalise_percentiles(const at::Tensor& volume, double low, double high) {
  require(low >= 0 && low < high && high <= 100,
          "Expected 0 <= low < high <= 100 for percentiles but received ", low, " and ", high);
  const at::Tensor input = require_finite_volume(volume);
  const float* data = input.const_data_ptr<float>();
  std::vector<float> values(data, data + input.numel());
  const double floor = percentile(values, low), ceiling = percentile(values, high);
  if (!(ceiling > floor)) return map_voxels(input, [floor](double v) { return v > floor ? 1.0 : 0.0; });
  const double scale = 1 / (ceiling - floor);
  return map_voxels(input, [floor, scale](double v) { return std::clamp((v - floor) * scale, 0.0, 1.0); });
}

at::Tensor normalise_range(const at::Tensor& volume, double low, double high) {
  require(std::isfinite(low) && std::isfinite(high) && low < high,
          "Expected two finite numbers, low < high, for the range but received ", low, " and ", high);
  const at::Tensor input = require_finite_volume(volume);
  const double scale = 1 / (high - low);
  return map_voxels(input, [low, scale](double v) { return std::clamp((v - low) * scale, 0.0, 1.0); });
}

at::Tensor normalise_z_score(const at::Tensor& volume) {
  const at::Tensor input = require_finite_volume(volume);
  const Moments above = moments_above(input, 0);
  // A spread that is nothing but rounding is none.
  if (above.count == 0 || above.standard_deviation <= 1e-12 * std::abs(above.mean))
    return at::zeros_like(input);
  const double scale = 1 / above.standard_deviation;
  return map_voxels(input, [&](double v) { return (v - above.mean) * scale; });
}

}  // namespace transfer_limits::volumes
