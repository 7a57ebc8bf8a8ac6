#include "volumes/warp.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "error.h"
#include "volumes/trilinear.h"
#include "volumes/volume.h"

namespace transfer_limits::volumes {
namespace {

using Vector = std::array<double, 3>;

at::Tensor require_field(const at::Tensor& field) {
  require(field.defined(), "Expected a tensor for field but received nothing");
  require(field.dim() == 4 && field.size(0) == 3 && field.numel() > 0 && field.scalar_type() == at::kFloat &&
              field.device().is_cpu(),
          "Expected a float32 tensor [3, D, H, W] on the CPU with at least one voxel for field but received ",
          c10::toString(field.scalar_type()), " ", field.sizes(), " on ", field.device().str());
  require(at::isfinite(field).all().item<bool>(), "Expected finite displacements for field");
  return field.contiguous();
}

double determinant(const Vector& a, const Vector& b, const Vector& c) {
  return a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) +
         a[2] * (b[0] * c[1] - b[1] * c[0]);
}

// The four edges of a cell along one axis, by the step (0 or 1) along the two other axes, in the order of the axes.
using Edges = std::array<std::array<Vector, 2>, 2>;

// The smallest Bernstein coefficient of the determinant of the derivatives along the axes. Derivatives along d are
// bilinear in (h, w), along h in (d, w), along w in (d, h), so along each axis two linear factors meet:
// (f0 (1-t) + f1 t)(g0 (1-t) + g1 t) has the coefficients f0 g0, (f0 g1 + f1 g0) / 2, f1 g1.
double smallest_coefficient(const Edges& along_d, const Edges& along_h, const Edges& along_w) {
  std::array<double, 27> coefficients{};
  constexpr std::array<double, 3> share{1, 0.5, 1};
  for (int combination = 0; combination < 64; ++combination) {
    const auto bit = [combination](int place) { return (combination >> place) & 1; };
    const int d = bit(0) + bit(1), h = bit(2) + bit(3), w = bit(4) + bit(5);
    coefficients[(d * 3 + h) * 3 + w] +=
        share[d] * share[h] * share[w] *
        determinant(along_d[bit(2)][bit(4)], along_h[bit(0)][bit(5)], along_w[bit(1)][bit(3)]);
  }
  return *std::min_element(coefficients.begin(), coefficients.end());
}

}  // namespace

at::Tensor warp(const at::Tensor& volume, const at::Tensor& field) {
  const at::Tensor input = require_volume(volume, "volume"), displacement = require_field(field);
  require(displacement.sizes().slice(1) == input.sizes(), "Expected a field [3, D, H, W] for a volume ",
          input.sizes(), " but received ", displacement.sizes());
  const Voxels voxels{input.const_data_ptr<float>(), {input.size(0), input.size(1), input.size(2)}};
  const float* u = displacement.const_data_ptr<float>();
  const int64_t count = input.numel(), height = input.size(1), width = input.size(2);
  at::Tensor output = at::empty_like(input);
  float* out = output.data_ptr<float>();
  at::parallel_for(0, count, kBlock, [&](int64_t begin, int64_t end) {
    for (int64_t voxel = begin; voxel < end; ++voxel) {
      const int64_t i = voxel % width, j = voxel / width % height, k = voxel / width / height;
      out[voxel] = interpolate_trilinear(
          voxels, {static_cast<double>(k) + u[voxel], static_cast<double>(j) + u[count + voxel],
                   static_cast<double>(i) + u[2 * count + voxel]});
    }
  });
  return output;
}

double jacobian_minimum(const at::Tensor& field) {
  const at::Tensor displacement = require_field(field);
  const float* u = displacement.const_data_ptr<float>();
  const int64_t depth = displacement.size(1), height = displacement.size(2), width = displacement.size(3);
  const int64_t count = depth * height * width;
  const std::array<int64_t, 3> stride{height * width, width, 1};
  const std::array<bool, 3> flat{depth == 1, height == 1, width == 1};
  // A flat axis has one layer of cells, whose two faces are the same voxels.
  const int64_t slices = std::max<int64_t>(depth - 1, 1), rows = std::max<int64_t>(height - 1, 1),
                columns = std::max<int64_t>(width - 1, 1);

  // The edge along `axis` from the voxel that lies `a` and `b` steps from `origin` along the two other axes.
  const auto edge = [&](int64_t origin, int axis, int a, int b) {
    const int first = axis == 0 ? 1 : 0, second = axis == 2 ? 1 : 2;
    const int64_t from =
        origin + (flat[first] ? 0 : a * stride[first]) + (flat[second] ? 0 : b * stride[second]);
    Vector result{};
    result[axis] = 1;
    if (flat[axis]) return result;
    for (int component = 0; component < 3; ++component) {
      const float* values = u + component * count + from;
      result[component] += static_cast<double>(values[stride[axis]]) - values[0];
    }
    return result;
  };
  const auto edges = [&](int64_t origin, int axis) {
    return Edges{{{edge(origin, axis, 0, 0), edge(origin, axis, 0, 1)},
                  {edge(origin, axis, 1, 0), edge(origin, axis, 1, 1)}}};
  };

  std::vector<double> minima(slices, std::numeric_limits<double>::infinity());
  at::parallel_for(0, slices, 1, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      for (int64_t j = 0; j < rows; ++j) {
        for (int64_t i = 0; i < columns; ++i) {
          const int64_t origin = (k * height + j) * width + i;
          minima[k] =
              std::min(minima[k], smallest_coefficient(edges(origin, 0), edges(origin, 1), edges(origin, 2)));
        }
      }
    }
  });
  return *std::min_element(minima.begin(), minima.end());
}

}  // namespace transfer_limits::volumes
