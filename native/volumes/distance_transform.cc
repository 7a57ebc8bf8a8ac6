#include "volumes/distance_transform.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "error.h"
#include "volumes/masks.h"
#include "volumes/statistics.h"
#include "volumes/volume.h"

namespace transfer_limits::volumes {
namespace {

// Replaces the `size` values f(q) from `values` on, `stride` apart, by the minimum over p of f(p) + ((q - p) spacing)².
// `parabolas` and `from` are room for `size` values each: the parabolas of the lower envelope, and where each begins.
void lower_envelope(double* values, int64_t size, int64_t stride, double spacing, std::vector<double>& line,
                    std::vector<int64_t>& parabolas, std::vector<double>& from) {
  int64_t last = -1;
  for (int64_t q = 0; q < size; ++q) {
    line[q] = values[q * stride];
    if (line[q] == kInfinity) continue;
    double start = -kInfinity;
    for (; last >= 0; --last) {
      const int64_t p = parabolas[last];
      const auto gap = static_cast<double>(q - p), sum = static_cast<double>(q + p);
      start = (line[q] - line[p]) / (2 * spacing * spacing * gap) + sum / 2;
      if (start > from[last]) break;
      start = -kInfinity;
    }
    parabolas[++last] = q;
    from[last] = start;
  }
  if (last < 0) return;  // nothing of the mask in this line
  int64_t current = 0;
  for (int64_t q = 0; q < size; ++q) {
    while (current < last && from[current + 1] < static_cast<double>(q)) ++current;
    const double reach = static_cast<double>(q - parabolas[current]) * spacing;
    values[q * stride] = line[parabolas[current]] + reach * reach;
  }
}

}  // namespace

void require_spacing(const std::array<double, 3>& spacing) {
  require(std::all_of(spacing.begin(), spacing.end(), [](double s) { return std::isfinite(s) && s > 0; }),
          "Expected three voxel sizes above 0 mm for spacing but received [", spacing[0], ", ", spacing[1],
          ", ", spacing[2], "]");
}

void squared_distances(std::vector<double>& squares, const std::array<int64_t, 3>& size,
                       const std::array<double, 3>& spacing) {
  const auto count = static_cast<int64_t>(squares.size());
  const std::array<int64_t, 3> stride{size[1] * size[2], size[2], 1};
  for (int axis = 2; axis >= 0; --axis) {
    const int64_t length = size[axis];
    at::parallel_for(0, count / length, std::max<int64_t>(1, 4096 / length), [&](int64_t begin, int64_t end) {
      std::vector<double> line(length), from(length);
      std::vector<int64_t> parabolas(length);
      for (int64_t index = begin; index < end; ++index) {
        const int64_t start = index / stride[axis] * stride[axis] * length + index % stride[axis];
        lower_envelope(squares.data() + start, length, stride[axis], spacing[axis], line, parabolas, from);
      }
    });
  }
}

at::Tensor distance_transform(const at::Tensor& mask, const std::array<double, 3>& spacing) {
  const at::Tensor input = require_volume(mask, "mask");
  require_spacing(spacing);
  require(bounds(input).has_value(), "Expected a mask with at least one foreground voxel but received none");
  const int64_t count = input.numel();
  const float* data = input.const_data_ptr<float>();
  std::vector<double> squares(count);
  for (int64_t voxel = 0; voxel < count; ++voxel) squares[voxel] = is_foreground(data[voxel]) ? 0 : kInfinity;
  squared_distances(squares, {input.size(0), input.size(1), input.size(2)}, spacing);
  at::Tensor output = at::empty_like(input);
  float* out = output.data_ptr<float>();
  for (int64_t voxel = 0; voxel < count; ++voxel) out[voxel] = static_cast<float>(std::sqrt(squares[voxel]));
  return output;
}

}  // namespace transfer_limits::volumes
