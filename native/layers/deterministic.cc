#include "layers/deterministic.h"

#include <ATen/Context.h>

#include "layers/precision.h"

namespace transfer_limits {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;
using torch::autograd::Variable;

enum class Map : std::uint8_t { kTrilinear, kBoxMeans, kBicubic };

at::Tensor mapped(Map map, const at::Tensor& x, at::IntArrayRef size) {
  switch (map) {
    case Map::kTrilinear:
      return at::upsample_trilinear3d(x, size, /*align_corners=*/false);
    case Map::kBoxMeans:
      return at::adaptive_avg_pool3d(x, size);
    case Map::kBicubic:
      return at::_upsample_bicubic2d_aa(x, size, /*align_corners=*/false);
  }
  return {};
}

// What the map makes of an axis of `in` values, [in, out]: of each unit vector, all others axes left at a length of 1.
at::Tensor matrix_of(Map map, int64_t in, int64_t out, const at::TensorOptions& options) {
  const at::Tensor units = at::eye(in, options);
  if (map == Map::kBicubic) {
    // Of images two wide: on a CPU, LibTorch maps those of a single column wrongly (2.14.1).
    return mapped(map, units.view({1, in, in, 1}).expand({1, in, in, 2}).contiguous(), {out, 2})
        .select(3, 0)
        .view({in, out});
  }
  return mapped(map, units.view({1, in, in, 1, 1}), {out, 1, 1}).view({in, out});
}

// Each spatial axis is mapped by itself: the gradient goes back through them one by one.
class SeparableMap : public torch::autograd::Function<SeparableMap> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const std::vector<int64_t>& size,
                            int64_t map) {
    context->saved_data["from"] = x.sizes().slice(2).vec();
    context->saved_data["map"] = map;
    return mapped(static_cast<Map>(map), x, size);
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto map = static_cast<Map>(context->saved_data["map"].toInt());
    const std::vector<int64_t> from = context->saved_data["from"].toIntVector();
    const WithoutAutocast exact(gradients[0].device());
    at::Tensor gradient = in_float32(gradients[0]);
    for (size_t index = 0; index < from.size(); ++index) {
      const auto axis = int64_t(index) + 2;
      if (gradient.size(axis) == from[index]) continue;  // it stayed as it was
      const at::Tensor matrix = matrix_of(map, from[index], gradient.size(axis), gradient.options());
      gradient = at::matmul(gradient.movedim(axis, -1), matrix.t()).movedim(-1, axis);
    }
    return {gradient.contiguous().to(gradients[0].scalar_type()), Variable(), Variable()};
  }
};

at::Tensor separable(Map map, const at::Tensor& x, at::IntArrayRef size, GradientBy by) {
  if (by == GradientBy::kLibTorch) return mapped(map, x, size);
  return SeparableMap::apply(x, size.vec(), int64_t(map));
}

// Of each place of a window in turn: where it held the maximum, it gets the gradient. Windows may overlap, but those in
// which a voxel has the same place do not.
class WindowMaxima : public torch::autograd::Function<WindowMaxima> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, int64_t edge, int64_t stride,
                            int64_t padding) {
    auto [maxima, places] = at::max_pool3d_with_indices(x, edge, stride, padding);
    context->save_for_backward({places});
    context->saved_data["from"] = x.sizes().vec();
    context->saved_data["windows"] = std::vector<int64_t>{edge, stride, padding};
    return maxima;
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const at::Tensor places = context->get_saved_variables()[0];  // in the volume as a row, [N, C, d, h, w]
    const std::vector<int64_t> from = context->saved_data["from"].toIntVector();
    const std::vector<int64_t> windows = context->saved_data["windows"].toIntVector();
    const int64_t edge = windows[0], stride = windows[1], padding = windows[2];
    const at::Tensor& gradient = gradients[0];
    std::vector<int64_t> room{from[0], from[1]};
    for (int64_t axis = 2; axis < 5; ++axis) {
      room.push_back(std::max(from[size_t(axis)] + padding, stride * (places.size(axis) - 1) + edge));
    }
    const at::Tensor result = at::zeros(room, gradient.options());
    // Where a window of this place lies along an axis, counted in voxels.
    const auto along = [&](int64_t axis, int64_t place, int64_t voxels) {
      std::vector<int64_t> shape(5, 1);
      shape[size_t(axis)] = places.size(axis);
      return ((at::arange(places.size(axis), places.options()) * stride + (place - padding)) * voxels)
          .view(shape);
    };
    for (int64_t z = 0; z < edge; ++z) {
      for (int64_t y = 0; y < edge; ++y) {
        for (int64_t x = 0; x < edge; ++x) {
          const at::Tensor own = along(2, z, from[3] * from[4]) + along(3, y, from[4]) + along(4, x, 1);
          at::Tensor part = result;
          const std::array<int64_t, 3> begin{z, y, x};
          for (int64_t axis = 2; axis < 5; ++axis) {
            const int64_t first = begin[size_t(axis) - 2];
            part = part.slice(axis, first, first + stride * (places.size(axis) - 1) + 1, stride);
          }
          part.add_(gradient * places.eq(own));
        }
      }
    }
    at::Tensor inside = result;
    for (int64_t axis = 2; axis < 5; ++axis) inside = inside.narrow(axis, padding, from[size_t(axis)]);
    return {inside.contiguous(), Variable(), Variable(), Variable()};
  }
};

}  // namespace

GradientBy gradient_by(const at::Tensor& x) {
  return x.is_cuda() && at::globalContext().deterministicAlgorithms() ? GradientBy::kOwn
                                                                      : GradientBy::kLibTorch;
}

at::Tensor trilinear(const at::Tensor& x, at::IntArrayRef size, GradientBy by) {
  return separable(Map::kTrilinear, x, size, by);
}

at::Tensor box_means(const at::Tensor& x, at::IntArrayRef size, GradientBy by) {
  return separable(Map::kBoxMeans, x, size, by);
}

at::Tensor bicubic(const at::Tensor& x, at::IntArrayRef size, GradientBy by) {
  return separable(Map::kBicubic, x, size, by);
}

at::Tensor window_maxima(const at::Tensor& x, const Windows& windows, GradientBy by) {
  const auto [edge, stride, padding] = windows;
  if (by == GradientBy::kLibTorch) return at::max_pool3d(x, edge, stride, padding);
  return WindowMaxima::apply(x, edge, stride, padding);
}

}  // namespace transfer_limits
