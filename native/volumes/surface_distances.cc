#include "volumes/surface_distances.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "error.h"
#include "volumes/distance_transform.h"
#include "volumes/masks.h"
#include "volumes/volume.h"

namespace transfer_limits::volumes {
namespace {

using Index = std::array<int64_t, 3>;

// The voxels of the surface of what lies above a value.
std::vector<Index> surface_of(const at::Tensor& mask, float above) {
  const Index size{mask.size(0), mask.size(1), mask.size(2)};
  const Index stride{size[1] * size[2], size[2], 1};
  const float* data = mask.const_data_ptr<float>();
  std::vector<Index> surface;
  int64_t voxel = 0;
  for (int64_t k = 0; k < size[0]; ++k) {
    for (int64_t j = 0; j < size[1]; ++j) {
      for (int64_t i = 0; i < size[2]; ++i, ++voxel) {
        if (!(data[voxel] > above)) continue;
        const Index at{k, j, i};
        bool is_inside = true;
        for (int axis = 0; axis < 3 && is_inside; ++axis) {
          is_inside = at[axis] > 0 && at[axis] < size[axis] - 1 && data[voxel - stride[axis]] > above &&
                      data[voxel + stride[axis]] > above;
        }
        if (!is_inside) surface.push_back(at);
      }
    }
  }
  return surface;
}

// The smallest box that holds both surfaces: no distance between them depends on what lies outside of it.
struct SurfaceBox {
  Index low, size;

  int64_t voxel(const Index& at) const {
    return ((at[0] - low[0]) * size[1] + at[1] - low[1]) * size[2] + at[2] - low[2];
  }
};

SurfaceBox box_around(const std::vector<Index>& first, const std::vector<Index>& second) {
  Index low = first.front(), high = first.front();
  for (const auto* surface : {&first, &second}) {
    for (const Index& at : *surface) {
      for (int axis = 0; axis < 3; ++axis) {
        low[axis] = std::min(low[axis], at[axis]);
        high[axis] = std::max(high[axis], at[axis]);
      }
    }
  }
  return {low, {high[0] - low[0] + 1, high[1] - low[1] + 1, high[2] - low[2] + 1}};
}

// The distance in mm of each voxel of one surface from the nearest of the other.
std::vector<double> distances_between(const std::vector<Index>& from, const std::vector<Index>& to,
                                      const SurfaceBox& box, const std::array<double, 3>& spacing) {
  std::vector<double> squares(box.size[0] * box.size[1] * box.size[2], kInfinity);
  for (const Index& at : to) squares[box.voxel(at)] = 0;
  squared_distances(squares, box.size, spacing);
  std::vector<double> distances;
  distances.reserve(from.size());
  for (const Index& at : from) distances.push_back(std::sqrt(squares[box.voxel(at)]));
  return distances;
}

// Linear between two of them, as numpy's.
double percentile95(std::vector<double> values) {
  const double at = 0.95 * static_cast<double>(values.size() - 1);
  const auto below = static_cast<int64_t>(at);
  std::nth_element(values.begin(), values.begin() + below, values.end());
  const double low = values[below];
  if (below + 1 == static_cast<int64_t>(values.size())) return low;
  const double high = *std::min_element(values.begin() + below + 1, values.end());
  return low + (at - static_cast<double>(below)) * (high - low);
}

}  // namespace

SurfaceDistances surface_distances(const at::Tensor& found, double above, const at::Tensor& truth,
                                   const std::array<double, 3>& spacing, double tolerance) {
  const at::Tensor answer = require_volume(found, "found"), wanted = require_volume(truth, "truth");
  require(answer.sizes() == wanted.sizes(), "Expected two masks of one shape but received ", answer.sizes(),
          " and ", wanted.sizes());
  require_spacing(spacing);
  require(tolerance >= 0, "Expected a tolerance from 0 mm but received ", tolerance);
  const std::vector<Index> own = surface_of(answer, static_cast<float>(above));
  const std::vector<Index> other = surface_of(wanted, kForegroundAbove);
  require(!own.empty() && !other.empty(),
          "Expected two masks with at least one foreground voxel each but received an empty one");
  const SurfaceBox box = box_around(own, other);
  const std::vector<double> of_found = distances_between(own, other, box, spacing);
  const std::vector<double> of_truth = distances_between(other, own, box, spacing);
  const auto within = [tolerance](const std::vector<double>& distances) {
    return std::count_if(distances.begin(), distances.end(), [=](double one) { return one <= tolerance; });
  };
  return {static_cast<double>(within(of_found) + within(of_truth)) /
              static_cast<double>(own.size() + other.size()),
          std::max(percentile95(of_found), percentile95(of_truth))};
}

}  // namespace transfer_limits::volumes
