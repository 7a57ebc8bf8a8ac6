#pragma once

#include <array>
#include <vector>

#include "layers/unetr_blocks.h"
#include "models/heads.h"
#include "modules.h"

namespace transfer_limits {

// UNETR (Hatamizadeh 2022) on a vision transformer that goes slice by slice: the tokens of four depths, deepest first,
// are joined from an eighth of the slice's size over a quarter and a half up to the full size, where the decoder sees
// the input itself. Patches are enlarged within slices alone; the 3x3x3 convolutions look across slices.
//
// A patch's tokens are spread over the voxels of a level by a transposed convolution that leaves no gaps and no
// overlaps; where the patch isn't a multiple of the level's stride, the map is then resized.
class VitUnetrHeadImpl : public torch::nn::Module {
 public:
  // Of how many depths of the transformer the head sees the tokens.
  static constexpr size_t kDepths = 4;

  VitUnetrHeadImpl(int64_t features, int64_t channels, int64_t patch, const UnetrSpecification& head);

  // Tokens on their grid, four of [N, D, features, h, w], shallowest first, and the slices as the encoder sees them, at
  // their own size [N, channels, D, H, W] -> [N, outputs, D, H, W].
  at::Tensor forward(const std::vector<at::Tensor>& tokens, const at::Tensor& slices);

 private:
  static constexpr size_t kLevels = 4;  // at strides of 8, 4, 2 and 1

  std::array<torch::nn::ConvTranspose3d, kDepths> spread_ = {nullptr, nullptr, nullptr, nullptr};
  std::array<torch::nn::ConvTranspose3d, kLevels - 1> up_ = {nullptr, nullptr, nullptr};
  std::array<ResidualBlock, kLevels> refine_ = {nullptr, nullptr, nullptr, nullptr};
  ResidualBlock skip_ = nullptr;
  torch::nn::Conv3d out_ = nullptr;
};
TORCH_MODULE(VitUnetrHead);

}  // namespace transfer_limits
