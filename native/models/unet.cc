#include "models/unet.h"

#include <string>

#include "layers/channels_last.h"
#include "layers/deterministic.h"
#include "layers/padding.h"
#include "layers/patch_conv3d.h"
#include "models/families.h"

namespace transfer_limits {
namespace {

ModelMaker read_unet(const Settings& model) {
  return model_maker<UNet>(read_unet_specification(model), &UNetSpecification::outputs);
}

const ModelFamily unet_family("unet-3d", read_unet);

}  // namespace

UNetSpecification read_unet_specification(const Settings& model) {
  UNetSpecification result;
  result.channels = model.integer("channels", 1, 4096);
  result.outputs = model.integer("outputs", 1, 4096);
  result.features = model.integer("features", 1, 4096);
  result.levels = model.integer("levels", 2, 8);
  result.doubles_depth = model.integer_or("depthScale", 1, 1, 2) == 2;
  return result;
}

UNet::UNet(const UNetSpecification& specification) : specification_(specification) {
  int64_t in = specification.channels;
  for (int64_t level = 0; level < specification.levels; ++level) {
    const int64_t out = specification.features << level;
    down_.push_back(register_module("down" + std::to_string(level), ResidualBlock(in, out)));
    in = out;
  }
  for (int64_t level = specification.levels - 2; level >= 0; --level) {
    up_.push_back(register_module("up" + std::to_string(level), UpBlock(in, in / 2)));
    in /= 2;
  }
  const int64_t outputs = specification.doubles_depth ? 2 * specification.outputs : specification.outputs;
  out_ = register_module("out", torch::nn::Conv3d(torch::nn::Conv3dOptions(in, outputs, 1)));
}

at::Tensor UNet::forward(const at::Tensor& input) {
  require(input.dim() == 5 && input.size(1) == specification_.channels && input.numel() > 0,
          "Expected an input [N, ", specification_.channels, ", D, H, W] for the U-Net but received ",
          input.sizes());
  const std::array<int64_t, 3> size = {input.size(2), input.size(3), input.size(4)};
  // Channels-last: the convolutions are about twice as fast in it.
  at::Tensor x = channels_last(pad_to_multiple(input, int64_t(1) << (specification_.levels - 1)));
  std::vector<at::Tensor> skips;
  for (size_t level = 0; level < down_.size(); ++level) {
    if (level > 0) x = window_maxima(x, {2, 2, 0});  // [N, C, D / 2, H / 2, W / 2]
    x = down_[level](x);
    skips.push_back(x);
  }
  x = at_coarsest(x);
  for (size_t index = 0; index < up_.size(); ++index) x = up_[index](x, skips[skips.size() - 2 - index]);
  at::Tensor answer = crop_to(patch_conv3d(out_, x), size);
  if (specification_.doubles_depth) {
    answer = shuffle_into_depth(answer) + input.narrow(1, 0, 1).repeat_interleave(2, /*dim=*/2);
  }
  return answer_from(answer, input);
}

}  // namespace transfer_limits
