#pragma once

#include "layers/deterministic.h"
#include "modules.h"

namespace transfer_limits {

// A learnt position embedding for tokens on a 3D grid. It is kept at one size and resized trilinearly to the grid at
// hand (Dosovitskiy 2021, 3.2, there bilinearly), so that a network takes volumes of any size.
class GridPositionImpl : public torch::nn::Module {
 public:
  static constexpr int64_t kGrid = 8;

  explicit GridPositionImpl(int64_t dim)
      : grid_(register_parameter("grid", torch::randn({1, dim, kGrid, kGrid, kGrid}) * 0.02)) {}

  // Adds to feature maps [N, E, D, H, W] their positions; the answer is tokens [N, D H W, E].
  at::Tensor forward(const at::Tensor& x) {
    const at::Tensor position = trilinear(grid_, x.sizes().slice(2));
    return (x + position).flatten(2).transpose(1, 2);
  }

 private:
  at::Tensor grid_;
};
TORCH_MODULE(GridPosition);

}  // namespace transfer_limits
