#include "volumes/distortion.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "error.h"
#include "kernels/distortion.h"
#include "transfer.h"
#include "volumes/distance_transform.h"
#include "volumes/masks.h"
#include "volumes/statistics.h"
#include "volumes/trilinear.h"
#include "volumes/volume.h"

namespace transfer_limits::volumes {
namespace {

// Displacements are stored as float32: a field is scaled down by this much more than it must, so that rounding does not
// bring the determinant below its floor again.
constexpr double kRounding = 1e-5;

// Of each voxel along an axis.
std::vector<SplineWeights> spline_weights_along(int64_t size, int64_t coefficients) {
  std::vector<SplineWeights> result(size);
  for (int64_t voxel = 0; voxel < size; ++voxel) result[voxel] = spline_weights(voxel, size, coefficients);
  return result;
}

// Voxels from one to the next along an axis.
int64_t step_along(const std::array<int64_t, 3>& size, int64_t axis) {
  return std::array<int64_t, 3>{size[1] * size[2], size[2], 1}[axis];
}

// The field before scaling along a volume's axis, row by row: float64 [D, H, W].
struct FieldShape {
  std::array<int64_t, 3> size;
  at::Tensor storage;
  double* values;
  double largest = 0;  // of all absolute values

  int64_t rows() const { return size[0] * size[1]; }
};

// The largest of what `of_slice(k)` answers, over all slices.
template <typename OfSlice>
double largest_of_slices(int64_t depth, const OfSlice& of_slice) {
  std::vector<double> largest(depth, 0);
  at::parallel_for(0, depth, 1, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) largest[k] = of_slice(k);
  });
  return *std::max_element(largest.begin(), largest.end());
}

FieldShape field_shape_of(const at::Tensor& distances, const at::Tensor& coefficients, double decay) {
  const at::Tensor storage = at::empty(distances.sizes(), at::kDouble);
  FieldShape shape{
      {distances.size(0), distances.size(1), distances.size(2)}, storage, storage.data_ptr<double>()};
  const auto [depth, height, width] = shape.size;
  const std::vector<SplineWeights> along_d = spline_weights_along(depth, coefficients.size(0));
  const std::vector<SplineWeights> along_h = spline_weights_along(height, coefficients.size(1));
  const std::vector<SplineWeights> along_w = spline_weights_along(width, coefficients.size(2));
  const float* nodes = coefficients.const_data_ptr<float>();
  const int64_t nodes_h = coefficients.size(1), nodes_w = coefficients.size(2);
  const float* distance = distances.const_data_ptr<float>();
  shape.largest = largest_of_slices(depth, [&](int64_t k) {
    std::vector<double> row_nodes(nodes_w);
    double largest = 0;
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
      const int64_t start = (k * height + j) * width;
      for (int64_t i = 0; i < width; ++i) {
        const SplineWeights& w = along_w[i];
        double noise = 0;
        for (int64_t c = 0; c < 4; ++c) noise += w.weights[c] * row_nodes[w.first + c];
        // What lies in the source, or decays nowhere, needs no exponential.
        const double share = distance[start + i] == 0 ? 1 : std::exp(-distance[start + i] / decay);
        shape.values[start + i] = share * noise;
        largest = std::max(largest, std::abs(shape.values[start + i]));
      }
    }
    return largest;
  });
  return shape;
}

// For each row of slice `k` whose voxels have a neighbour before them along `axis`: `row(voxel, count)`, the first of those
// voxels and how many follow it.
template <typename Row>
void for_rows_with_neighbours(const FieldShape& shape, int64_t axis, int64_t k, const Row& row) {
  const auto [depth, height, width] = shape.size;
  if (axis == 0 && k == 0) return;
  const int64_t skipped = axis == 2 ? 1 : 0;
  for (int64_t j = axis == 1 ? 1 : 0; j < height; ++j)
    row((k * height + j) * width + skipped, width - skipped);
}

// Along one axis the determinant is 1 + du/dx, constant between two neighbours along it and bilinear across: its minimum
// is 1 minus the steepest fall between neighbours.
FieldScaling scaling_of(const FieldShape& shape, const DistortionOptions& options) {
  const int64_t step = step_along(shape.size, options.axis);
  const double fall = largest_of_slices(shape.size[0], [&](int64_t k) {
    double steepest = 0;
    for_rows_with_neighbours(shape, options.axis, k, [&](int64_t voxel, int64_t count) {
      const double *here = shape.values + voxel, *before = here - step;
      for (int64_t i = 0; i < count; ++i) steepest = std::max(steepest, before[i] - here[i]);
    });
    return steepest;
  });
  return field_scaling(field_along_axis(options), shape.largest, fall);
}

// The coefficients, once they and the options are such that there is a field.
at::Tensor checked_control(const at::Tensor& control, const DistortionOptions& options) {
  const at::Tensor coefficients = require_volume(control, "control");
  require(coefficients.size(0) >= 4 && coefficients.size(1) >= 4 && coefficients.size(2) >= 4,
          "Expected at least 4 coefficients along each axis of control but received ", coefficients.sizes());
  require(at::isfinite(coefficients).all().item<bool>(), "Expected finite numbers for control");
  require_spacing(options.spacing);
  require(options.axis >= 0 && options.axis <= 2, "Expected 0, 1 or 2 for axis but received ", options.axis);
  require(std::isfinite(options.maximum_displacement) && options.maximum_displacement >= 0,
          "Expected a finite number of mm >= 0 for maximumDisplacement but received ",
          options.maximum_displacement);
  require(std::isfinite(options.decay) && options.decay > 0,
          "Expected a finite number of mm above 0 for decay but received ", options.decay);
  require(options.least_jacobian >= 0 && options.least_jacobian < 1,
          "Expected a number in [0, 1) for leastJacobian but received ", options.least_jacobian);
  return coefficients;
}

FieldShape checked_shape(const at::Tensor& distances, const at::Tensor& control,
                         const DistortionOptions& options) {
  const at::Tensor coefficients = checked_control(control, options);
  return field_shape_of(require_volume(distances, "distances"), coefficients, options.decay);
}

at::Tensor distorted_on_cuda(const at::Tensor& volume, const at::Tensor& distances, const at::Tensor& control,
                             const DistortionOptions& options) {
  const at::Tensor coefficients = checked_control(control, options);
  require(coefficients.size(2) <= kMostCoefficientsOfRow, "Expected at most ", kMostCoefficientsOfRow,
          " coefficients along the width but received ", coefficients.sizes());
  return cuda::distorted(volume, require_volume(distances, "distances", volume.device()),
                         moved_to(coefficients, volume.device()), field_along_axis(options));
}

}  // namespace

FieldAlongAxis field_along_axis(const DistortionOptions& options) {
  return {options.axis, options.spacing[options.axis], options.decay, options.maximum_displacement,
          (1 - options.least_jacobian) * (1 - kRounding)};
}

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

Distortion distortion_field(const at::Tensor& distances, const at::Tensor& control,
                            const DistortionOptions& options) {
  const FieldShape shape = checked_shape(distances, control, options);
  const FieldScaling scaling = scaling_of(shape, options);
  const auto [depth, height, width] = shape.size;
  const int64_t slice = height * width, step = step_along(shape.size, options.axis);
  Distortion result{at::zeros({3, depth, height, width}, at::kFloat), scaling.scale, 1};
  float* out = result.field.data_ptr<float>() + options.axis * depth * slice;
  const auto displacement = [&](int64_t voxel) {
    return static_cast<float>(scaling.factor * shape.values[voxel]);
  };
  // As stored: what rounding makes of it too.
  const double fall = largest_of_slices(depth, [&](int64_t k) {
    for (int64_t voxel = k * slice; voxel < (k + 1) * slice; ++voxel) out[voxel] = displacement(voxel);
    double steepest = -kInfinity;
    for_rows_with_neighbours(shape, options.axis, k, [&](int64_t first, int64_t count) {
      for (int64_t voxel = first; voxel < first + count; ++voxel)
        steepest = std::max(steepest, static_cast<double>(displacement(voxel - step)) - out[voxel]);
    });
    return steepest;
  });
  if (shape.size[options.axis] > 1) result.jacobian_minimum = 1 - fall;
  return result;
}

at::Tensor distorted(const at::Tensor& volume, const at::Tensor& distances, const at::Tensor& control,
                     const DistortionOptions& options) {
  const bool on_cuda = volume.defined() && volume.is_cuda();
  const at::Tensor input = require_volume(volume, "volume", on_cuda ? volume.device() : at::kCPU);
  require(!distances.defined() || input.sizes() == distances.sizes(), "Expected distances of a volume ",
          input.sizes(), " but received ", distances.sizes());
  if (on_cuda) return distorted_on_cuda(input, distances, control, options);
  const FieldShape shape = checked_shape(distances, control, options);
  const FieldScaling scaling = scaling_of(shape, options);
  const int64_t height = shape.size[1], width = shape.size[2];
  const int64_t length = shape.size[options.axis], step = step_along(shape.size, options.axis);
  const float* from = input.const_data_ptr<float>();
  at::Tensor output = at::empty_like(input);
  float* out = output.data_ptr<float>();
  at::parallel_for(0, shape.rows(), std::max<int64_t>(1, kBlock / width), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t i = 0; i < width; ++i) {
        const int64_t voxel = row * width + i;
        const int64_t place = options.axis == 0 ? row / height : options.axis == 1 ? row % height : i;
        const auto u = static_cast<float>(scaling.factor * shape.values[voxel]);
        const Neighbours near = clamped_neighbours(static_cast<double>(place) + u, length);
        const float* line = from + voxel - place * step;
        const double low = line[near.low * step];
        out[voxel] = static_cast<float>(low + (line[near.high * step] - low) * near.weight);
      }
    }
  });
  return output;
}

}  // namespace transfer_limits::volumes
