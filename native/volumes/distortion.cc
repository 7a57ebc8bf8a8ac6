#include "volumes/distortion.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "error.h"
#include "volumes/distance_transform.h"
#include "volumes/masks.h"
#include "volumes/statistics.h"
#include "volumes/volume.h"

namespace transfer_limits::volumes {
namespace {

// Displacements are stored as float32: a field is scaled down by this much more than it must, so that rounding does not
// bring the determinant below its floor again.
constexpr double kRounding = 1e-5;

// Which four coefficients of a cubic B-spline a voxel sees, and how much of each.
struct SplineWeights {
  int64_t first;
  std::array<double, 4> weights;
};

// `size` voxels, the outermost centres at both ends of the spline's range of `coefficients` - 3 pieces.
std::vector<SplineWeights> spline_weights(int64_t size, int64_t coefficients) {
  std::vector<SplineWeights> result(size);
  const auto pieces = static_cast<double>(coefficients - 3);
  for (int64_t voxel = 0; voxel < size; ++voxel) {
    const double position =
        size == 1 ? pieces / 2 : static_cast<double>(voxel) * pieces / static_cast<double>(size - 1);
    const auto first = std::min(static_cast<int64_t>(position), coefficients - 4);
    const double t = position - static_cast<double>(first), s = 1 - t;
    result[voxel] = {first,
                     {s * s * s / 6, (4 - 6 * t * t + 3 * t * t * t) / 6, (4 - 6 * s * s + 3 * s * s * s) / 6,
                      t * t * t / 6}};
  }
  return result;
}

}  // namespace

at::Tensor region_behind(const at::Tensor& gland) {
  const at::Tensor input = require_volume(gland, "gland");
  const std::optional<Bounds> box = bounds(input);
  require(box.has_value(), "Expected a gland mask with at least one foreground voxel but received none");
  const int64_t row = std::min(box->high[1] + 1, input.size(1) - 1);
  at::Tensor region = at::zeros_like(input);
  region.slice(0, box->low[0], box->high[0] + 1)
      .slice(1, row, row + 1)
      .slice(2, box->low[2], box->high[2] + 1)
      .fill_(1);
  return region;
}

Distortion distortion_field(const at::Tensor& source, const at::Tensor& control,
                            const DistortionOptions& options) {
  const at::Tensor coefficients = require_volume(control, "control");
  require(coefficients.size(0) >= 4 && coefficients.size(1) >= 4 && coefficients.size(2) >= 4,
          "Expected at least 4 coefficients along each axis of control but received ", coefficients.sizes());
  require(at::isfinite(coefficients).all().item<bool>(), "Expected finite numbers for control");
  require(options.axis >= 0 && options.axis <= 2, "Expected 0, 1 or 2 for axis but received ", options.axis);
  require(std::isfinite(options.maximum_displacement) && options.maximum_displacement >= 0,
          "Expected a finite number of mm >= 0 for maximumDisplacement but received ",
          options.maximum_displacement);
  require(std::isfinite(options.decay) && options.decay > 0,
          "Expected a finite number of mm above 0 for decay but received ", options.decay);
  require(options.least_jacobian >= 0 && options.least_jacobian < 1,
          "Expected a number in [0, 1) for leastJacobian but received ", options.least_jacobian);
  const at::Tensor distances = distance_transform(source, options.spacing);

  const int64_t depth = distances.size(0), height = distances.size(1), width = distances.size(2);
  const int64_t count = distances.numel();
  const std::vector<SplineWeights> along_d = spline_weights(depth, coefficients.size(0));
  const std::vector<SplineWeights> along_h = spline_weights(height, coefficients.size(1));
  const std::vector<SplineWeights> along_w = spline_weights(width, coefficients.size(2));
  const float* nodes = coefficients.const_data_ptr<float>();
  const int64_t nodes_h = coefficients.size(1), nodes_w = coefficients.size(2);
  const float* distance = distances.const_data_ptr<float>();

  // The field before scaling, float64 [D, H, W].
  std::vector<double> shape(count);
  std::vector<double> largest_of_slice(depth, 0);
  at::parallel_for(0, depth, 1, [&](int64_t begin, int64_t end) {
    std::vector<double> row_nodes(nodes_w);
    for (int64_t k = begin; k < end; ++k) {
      const SplineWeights& d = along_d[k];
      for (int64_t j = 0; j < height; ++j) {
        const SplineWeights& h = along_h[j];
        std::fill(row_nodes.begin(), row_nodes.end(), 0.0);
        for (int64_t corner = 0; corner < 16; ++corner) {
          const int64_t a = corner / 4, b = corner % 4;
          const double weight = d.weights[a] * h.weights[b];
          const float* row = nodes + ((d.first + a) * nodes_h + h.first + b) * nodes_w;
          for (int64_t node = 0; node < nodes_w; ++node) row_nodes[node] += weight * row[node];
        }
        for (int64_t i = 0; i < width; ++i) {
          const SplineWeights& w = along_w[i];
          double noise = 0;
          for (int64_t c = 0; c < 4; ++c) noise += w.weights[c] * row_nodes[w.first + c];
          const int64_t voxel = (k * height + j) * width + i;
          shape[voxel] = std::exp(-distance[voxel] / options.decay) * noise;
          largest_of_slice[k] = std::max(largest_of_slice[k], std::abs(shape[voxel]));
        }
      }
    }
  });
  const double largest = *std::max_element(largest_of_slice.begin(), largest_of_slice.end());

  // Along one axis the determinant is 1 + du/dx, constant between two neighbours along it and bilinear across: its
  // minimum is 1 minus the steepest fall between neighbours.
  const std::array<int64_t, 3> stride{height * width, width, 1};
  const int64_t length = distances.size(options.axis), step = stride[options.axis];
  const auto follows = [&](int64_t voxel) { return voxel / step % length > 0; };
  double fall = 0;
  for (int64_t voxel = step; voxel < count; ++voxel) {
    if (follows(voxel)) fall = std::max(fall, shape[voxel - step] - shape[voxel]);
  }
  const double whole =
      largest > 0 ? options.maximum_displacement / (largest * options.spacing[options.axis]) : 0;
  const double allowed = (1 - options.least_jacobian) * (1 - kRounding);
  const double scale = whole * fall > allowed ? allowed / (whole * fall) : 1;

  Distortion result{at::zeros({3, depth, height, width}, at::kFloat), scale, length == 1 ? 1 : kInfinity};
  float* out = result.field.data_ptr<float>() + options.axis * count;
  for (int64_t voxel = 0; voxel < count; ++voxel) {
    out[voxel] = static_cast<float>(whole * scale * shape[voxel]);
    if (voxel >= step && follows(voxel)) {
      result.jacobian_minimum =
          std::min(result.jacobian_minimum, 1 + (static_cast<double>(out[voxel]) - out[voxel - step]));
    }
  }
  return result;
}

}  // namespace transfer_limits::volumes
