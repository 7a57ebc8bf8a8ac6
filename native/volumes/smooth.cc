#include "volumes/smooth.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "error.h"
#include "volumes/volume.h"

namespace transfer_limits::volumes {
namespace {

constexpr double kTruncate = 4;
constexpr double kLargestSigma = 1000;

std::vector<double> gaussian_kernel(double sigma) {
  const auto radius = static_cast<int64_t>(std::lround(kTruncate * sigma));
  std::vector<double> kernel(2 * radius + 1);
  double sum = 0;
  for (int64_t offset = -radius; offset <= radius; ++offset) {
    const double value = std::exp(-0.5 * static_cast<double>(offset * offset) / (sigma * sigma));
    kernel[offset + radius] = value;
    sum += value;
  }
  for (double& value : kernel) value /= sum;
  return kernel;
}

// Where index `i` lies after mirroring at both ends of an axis of `size` voxels, however far outside it is.
int64_t mirrored(int64_t i, int64_t size) {
  const int64_t period = 2 * size;
  i = ((i % period) + period) % period;
  return i < size ? i : period - 1 - i;
}

// Filters one axis: `outer` x `size` x `inner` elements, the middle one being filtered.
void smooth_axis(const float* in, float* out, int64_t outer, int64_t size, int64_t inner, double sigma) {
  const std::vector<double> kernel = gaussian_kernel(sigma);
  const auto taps = static_cast<int64_t>(kernel.size());
  const int64_t radius = taps / 2;
  at::parallel_for(0, outer * size, std::max<int64_t>(1, 4096 / inner), [&](int64_t begin, int64_t end) {
    std::vector<double> sum(inner);
    for (int64_t line = begin; line < end; ++line) {
      const int64_t base = (line / size) * size, position = line % size;
      std::fill(sum.begin(), sum.end(), 0.0);
      for (int64_t tap = 0; tap < taps; ++tap) {
        const float* source = in + (base + mirrored(position + tap - radius, size)) * inner;
        for (int64_t i = 0; i < inner; ++i) sum[i] += kernel[tap] * source[i];
      }
      for (int64_t i = 0; i < inner; ++i) out[line * inner + i] = static_cast<float>(sum[i]);
    }
  });
}

}  // namespace

at::Tensor smooth(const at::Tensor& volume, const std::array<double, 3>& sigmas) {
  at::Tensor current = require_volume(volume, "volume");
  for (const double sigma : sigmas) {
    require(sigma >= 0 && sigma <= kLargestSigma, "Expected three numbers between 0 and ", kLargestSigma,
            " for sigmas but received ", sigma);
  }
  bool copied = false;
  for (int axis = 0; axis < 3; ++axis) {
    // A kernel that reaches no neighbour changes nothing.
    if (kTruncate * sigmas[axis] + 0.5 < 1 || current.size(axis) == 1) continue;
    int64_t outer = 1, inner = 1;
    for (int before = 0; before < axis; ++before) outer *= current.size(before);
    for (int after = axis + 1; after < 3; ++after) inner *= current.size(after);
    at::Tensor next = at::empty_like(current);
    smooth_axis(current.const_data_ptr<float>(), next.data_ptr<float>(), outer, current.size(axis), inner,
                sigmas[axis]);
    current = next;
    copied = true;
  }
  return copied ? current : current.clone();
}

}  // namespace transfer_limits::volumes
