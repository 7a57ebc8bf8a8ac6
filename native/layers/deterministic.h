#pragma once

#include <array>

#include "modules.h"

namespace transfer_limits {

// Operations whose gradient LibTorch adds up on a GPU in whatever order its threads come, and has no other code for. They
// answer what LibTorch's own answer, to the bit; where deterministic algorithms are asked for on a GPU, their gradients
// are computed here: of what is linear in each axis by products with the transposed matrices of the axes, of a maximum
// by looking at each place of its windows in turn.

// Who computes the gradient.
enum class GradientBy : std::uint8_t { kLibTorch, kOwn };

// Of `x`: ours where it lies on a GPU and deterministic algorithms are asked for.
GradientBy gradient_by(const at::Tensor& x);

// A volume [N, C, D, H, W] at other spatial sizes, trilinear between the voxels' centres.
at::Tensor trilinear(const at::Tensor& x, at::IntArrayRef size, GradientBy by);
inline at::Tensor trilinear(const at::Tensor& x, at::IntArrayRef size) {
  return trilinear(x, size, gradient_by(x));
}

// The means over as many boxes along each axis [N, C, *size].
at::Tensor box_means(const at::Tensor& x, at::IntArrayRef size, GradientBy by);
inline at::Tensor box_means(const at::Tensor& x, at::IntArrayRef size) {
  return box_means(x, size, gradient_by(x));
}

// An image [N, C, H, W] at another size, bicubic with antialiasing.
at::Tensor bicubic(const at::Tensor& x, at::IntArrayRef size, GradientBy by);
inline at::Tensor bicubic(const at::Tensor& x, at::IntArrayRef size) {
  return bicubic(x, size, gradient_by(x));
}

// Windows of a 3D maximum.
struct Windows {
  int64_t edge;
  int64_t stride;
  int64_t padding;
};
at::Tensor window_maxima(const at::Tensor& x, const Windows& windows, GradientBy by);
inline at::Tensor window_maxima(const at::Tensor& x, const Windows& windows) {
  return window_maxima(x, windows, gradient_by(x));
}

}  // namespace transfer_limits
