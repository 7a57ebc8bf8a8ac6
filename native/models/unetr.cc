#include "models/unetr.h"

#include <string>

#include "layers/channels_last.h"
#include "layers/container.h"
#include "layers/padding.h"
#include "layers/patch_conv3d.h"
#include "layers/resize.h"

namespace transfer_limits {
namespace {

// The decoder enlarges by two, four times.
constexpr int64_t kStride = 16;

}  // namespace

Unetr::Unetr(std::shared_ptr<PyramidEncoder> encoder, const UnetrSpecification& head)
    : doubles_depth_(head.doubles_depth), encoder_(register_module("encoder", std::move(encoder))) {
  const auto dims = encoder_->widths();
  const int64_t features = head.feature_size;
  for (size_t stage = 0; stage < 3; ++stage) {
    norm_[stage] = register_module("norm" + std::to_string(stage + 1), ChannelNorm(dims[stage]));
  }
  auto decoder = register_module("decoder", container());
  auto encoder1 = decoder->register_module("encoder1", container());
  skip1_ = encoder1->register_module("layer", ResidualBlock(encoder_->channels(), features));
  for (size_t stage = 0; stage < 3; ++stage) {
    auto block = decoder->register_module("encoder" + std::to_string(stage + 2), container());
    skip_[stage] = register_up(*block, "transp_conv_init", dims[stage], features << (stage + 1));
  }
  const std::array<int64_t, 5> widths = {dims[3], 8 * features, 4 * features, 2 * features, features};
  for (size_t level = 0; level < 4; ++level) {
    up_[level] = decoder->register_module("decoder" + std::to_string(5 - level),
                                          UpBlock(widths[level], widths[level + 1]));
  }
  auto conv = decoder->register_module("out", container())->register_module("conv", container());
  const int64_t outputs = doubles_depth_ ? 2 * head.outputs : head.outputs;
  out_ = conv->register_module("conv", torch::nn::Conv3d(torch::nn::Conv3dOptions(features, outputs, 1)));
}

at::Tensor Unetr::predict(const std::vector<at::Tensor>& stages, const at::Tensor& volume) {
  // The decoder doubles three times from strides of 16 on; maps of an encoder with other strides are resized to those.
  const auto at_stride = [&volume](const at::Tensor& map, int64_t stride) {
    return resize_to(map, {volume.size(2) / stride, volume.size(3) / stride, volume.size(4) / stride});
  };
  at::Tensor x = at_stride(encoder_->norm_features(stages[3]), kStride);
  for (size_t level = 0; level < 3; ++level) {
    const size_t stage = 2 - level;
    x = up_[level](x, spread_voxels(skip_[stage], norm_[stage](at_stride(stages[stage], kStride >> level))));
  }
  return patch_conv3d(out_, up_[3](x, skip1_(volume)));  // [N, outputs, D, H, W]
}

at::Tensor Unetr::decode(const Features& features, const at::Tensor& input) {
  require_stages(features, 4, input);
  const std::array<int64_t, 3> size = {input.size(2), input.size(3), input.size(4)};
  const at::Tensor padded = channels_last(pad_to_multiple(input, kStride));
  at::Tensor answer = crop_to(predict(features.stages, padded), size);
  if (doubles_depth_) {
    answer = shuffle_into_depth(answer) + input.narrow(1, 0, 1).repeat_interleave(2, /*dim=*/2);
  }
  return answer_from(answer, input);
}

Features Unetr::encode(const at::Tensor& input) { return encoder_->embed(pad_to_multiple(input, kStride)); }

}  // namespace transfer_limits
