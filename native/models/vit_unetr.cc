#include "models/vit_unetr.h"

#include <string>

#include "layers/channels_last.h"
#include "layers/patch_conv3d.h"
#include "layers/resize.h"

namespace transfer_limits {
namespace {

// Voxels of a slice from one of a level to the next, coarsest first.
constexpr std::array<int64_t, 4> kStrides = {8, 4, 2, 1};

// Enlarges within slices, without gaps or overlaps: one voxel becomes `factor` x `factor`.
torch::nn::ConvTranspose3d enlarge(int64_t in, int64_t out, int64_t factor) {
  return torch::nn::ConvTranspose3d(torch::nn::ConvTranspose3dOptions(in, out, {1, factor, factor})
                                        .stride({1, factor, factor})
                                        .bias(false));
}

int64_t divided(int64_t size, int64_t stride) { return (size + stride - 1) / stride; }

}  // namespace

VitUnetrHeadImpl::VitUnetrHeadImpl(int64_t features, int64_t channels, int64_t patch,
                                   const UnetrSpecification& head) {
  const auto width = [&head](size_t level) { return head.feature_size << (kLevels - 1 - level); };
  for (size_t depth = 0; depth < kDepths; ++depth) {
    // The two deepest both stand on the coarsest level; above it, the shallower the tokens, the finer the level.
    const size_t level = depth + 1 == kDepths ? 0 : kDepths - 2 - depth;
    spread_[depth] = register_module("spread" + std::to_string(depth),
                                     enlarge(features, width(level), divided(patch, kStrides[level])));
  }
  skip_ = register_module("skip", ResidualBlock(channels, head.feature_size));
  for (size_t level = 0; level < kLevels; ++level) {
    const std::string index = std::to_string(level);
    if (level > 0) up_[level - 1] = register_module("up" + index, enlarge(width(level - 1), width(level), 2));
    refine_[level] = register_module("refine" + index, ResidualBlock(2 * width(level), width(level)));
  }
  out_ =
      register_module("out", torch::nn::Conv3d(torch::nn::Conv3dOptions(head.feature_size, head.outputs, 1)));
}

at::Tensor VitUnetrHeadImpl::forward(const std::vector<at::Tensor>& tokens, const at::Tensor& slices) {
  const auto size_at = [&slices](size_t level) {
    const int64_t stride = kStrides[level];
    return std::array<int64_t, 3>{slices.size(2), divided(slices.size(3), stride),
                                  divided(slices.size(4), stride)};
  };
  const auto spread = [this, &tokens, &size_at](size_t depth, size_t level) {
    const at::Tensor grid =
        tokens[depth].movedim(2, 1).contiguous(at::MemoryFormat::ChannelsLast3d);  // [N, E, D, h, w]
    return resize_to(spread_voxels(spread_[depth], grid), size_at(level));
  };

  at::Tensor x = spread(kDepths - 1, 0);  // [N, 8 feature size, D, H / 8, W / 8]
  for (size_t level = 0; level < kLevels; ++level) {
    if (level > 0) x = resize_to(spread_voxels(up_[level - 1], x), size_at(level));
    const at::Tensor skip =
        level + 1 < kLevels ? spread(kDepths - 2 - level, level) : skip_(channels_last(slices));
    x = refine_[level](at::cat({x, skip}, 1));
  }
  return patch_conv3d(out_, x);  // [N, outputs, D, H, W]
}

}  // namespace transfer_limits
