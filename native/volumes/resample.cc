#include "volumes/resample.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "error.h"
#include "volumes/trilinear.h"
#include "volumes/volume.h"

namespace transfer_limits::volumes {
namespace {

// Positions that rounding has put this far outside still count as inside, in voxels.
constexpr double kSlack = 1e-6;

// Weights of labels that differ by less than this are equal.
constexpr double kTie = 1e-9;

struct Source : Voxels {
  float outside;

  bool holds(const std::array<double, 3>& position) const {
    for (int axis = 0; axis < 3; ++axis) {
      if (!(position[axis] >= -0.5 - kSlack && position[axis] <= size[axis] - 0.5 + kSlack)) return false;
    }
    return true;
  }
};

float sample_linear(const Source& source, const std::array<double, 3>& position) {
  return source.holds(position) ? interpolate_trilinear(source, position) : source.outside;
}

float sample_nearest(const Source& source, const std::array<double, 3>& position) {
  if (!source.holds(position)) return source.outside;
  std::array<int64_t, 3> index;
  for (int axis = 0; axis < 3; ++axis) {
    const auto nearest = static_cast<int64_t>(std::floor(position[axis] + 0.5));
    index[axis] = std::clamp<int64_t>(nearest, 0, source.size[axis] - 1);
  }
  return source.at(index[0], index[1], index[2]);
}

float sample_labels(const Source& source, const std::array<double, 3>& position) {
  std::array<int64_t, 3> low;
  std::array<double, 3> weight;
  for (int axis = 0; axis < 3; ++axis) {
    if (!(position[axis] > -1 && position[axis] < source.size[axis])) return source.outside;
    const double floor = std::floor(position[axis]);
    low[axis] = static_cast<int64_t>(floor);
    weight[axis] = position[axis] - floor;
  }
  // At most eight labels meet in one place.
  std::array<float, 8> labels;
  std::array<double, 8> weights;
  int found = 0;
  for (int corner = 0; corner < 8; ++corner) {
    double share = 1;
    bool inside = true;
    std::array<int64_t, 3> index;
    for (int axis = 0; axis < 3; ++axis) {
      const int step = (corner >> axis) & 1;
      index[axis] = low[axis] + step;
      share *= step ? weight[axis] : 1 - weight[axis];
      inside = inside && index[axis] >= 0 && index[axis] < source.size[axis];
    }
    const float label = inside ? source.at(index[0], index[1], index[2]) : source.outside;
    const int known =
        static_cast<int>(std::find(labels.begin(), labels.begin() + found, label) - labels.begin());
    if (known == found) {
      labels[found] = label;
      weights[found++] = 0;
    }
    weights[known] += share;
  }
  int best = 0;
  for (int candidate = 1; candidate < found; ++candidate) {
    const double lead = weights[candidate] - weights[best];
    if (lead > kTie || (lead > -kTie && labels[candidate] < labels[best])) best = candidate;
  }
  return labels[best];
}

template <typename Sample>
void fill(at::Tensor& output, const std::array<double, 16>& map, const Sample& sample) {
  float* out = output.data_ptr<float>();
  const int64_t height = output.size(1), width = output.size(2);
  const int64_t rows = output.size(0) * height;
  at::parallel_for(0, rows, std::max<int64_t>(1, 4096 / width), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t slice = row / height;
      const auto k = static_cast<double>(slice), j = static_cast<double>(row % height);
      std::array<double, 3> start;
      for (int axis = 0; axis < 3; ++axis) {
        start[axis] = map[4 * axis] * k + map[4 * axis + 1] * j + map[4 * axis + 3];
      }
      for (int64_t i = 0; i < width; ++i) {
        const auto x = static_cast<double>(i);
        out[row * width + i] = sample({start[0] + map[2] * x, start[1] + map[6] * x, start[2] + map[10] * x});
      }
    }
  });
}

}  // namespace

at::Tensor resample(const at::Tensor& volume, const std::array<double, 16>& output_to_input,
                    const std::array<int64_t, 3>& shape, Interpolation interpolation, double outside) {
  const at::Tensor input = require_volume(volume, "volume");
  require(shape[0] > 0 && shape[1] > 0 && shape[2] > 0, "Expected three sizes > 0 for shape but received [",
          shape[0], ", ", shape[1], ", ", shape[2], "]");
  require(
      std::all_of(output_to_input.begin(), output_to_input.end(), [](double v) { return std::isfinite(v); }),
      "Expected 16 finite numbers for outputToInput but received NaN or infinity among them");
  require(output_to_input[12] == 0 && output_to_input[13] == 0 && output_to_input[14] == 0 &&
              output_to_input[15] == 1,
          "Expected the last row 0, 0, 0, 1 for outputToInput: the map must be affine");

  const Source source{{input.const_data_ptr<float>(), {input.size(0), input.size(1), input.size(2)}},
                      static_cast<float>(outside)};
  at::Tensor output = at::empty({shape[0], shape[1], shape[2]}, at::kFloat);
  switch (interpolation) {
    case Interpolation::kLinear:
      fill(output, output_to_input, [&](const std::array<double, 3>& p) { return sample_linear(source, p); });
      break;
    case Interpolation::kNearest:
      fill(output, output_to_input,
           [&](const std::array<double, 3>& p) { return sample_nearest(source, p); });
      break;
    case Interpolation::kLabelLinear:
      fill(output, output_to_input, [&](const std::array<double, 3>& p) { return sample_labels(source, p); });
      break;
  }
  return output;
}

}  // namespace transfer_limits::volumes
