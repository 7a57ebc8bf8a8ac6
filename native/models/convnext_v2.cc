#include "models/convnext_v2.h"

#include <string>

#include "layers/channels_last.h"
#include "layers/checkpointed.h"
#include "layers/container.h"
#include "layers/drop_path.h"
#include "layers/grn_perceptron.h"
#include "layers/layer_norm.h"
#include "layers/padding.h"
#include "layers/patch_conv3d.h"
#include "layers/precision.h"
#include "models/families.h"

namespace transfer_limits {
namespace {

void initialise(torch::nn::Conv3d& layer) {
  torch::nn::init::normal_(layer->weight, 0.0, 0.02);
  torch::nn::init::zeros_(layer->bias);
}

void initialise(torch::nn::Linear& layer) {
  torch::nn::init::normal_(layer->weight, 0.0, 0.02);
  torch::nn::init::zeros_(layer->bias);
}

torch::nn::Conv3d strided(int64_t in, int64_t out, int64_t stride) {
  return torch::nn::Conv3d(torch::nn::Conv3dOptions(in, out, stride).stride(stride));
}

EncoderMaker read_convnext(const Settings& encoder) {
  ConvNeXtSpecification result;
  result.channels = encoder.integer("channels", 1, 4096);
  result.depths = encoder.integers<4>("depths", 1, 1000);
  result.dims = encoder.integers<4>("dims", 1, 65536);
  result.drop_path = encoder.number_or("dropPath", 0.0);
  require(result.drop_path >= 0.0 && result.drop_path < 1.0, "Expected a rate in [0, 1) for ",
          encoder.named("dropPath"), " but received ", result.drop_path);
  return [result] { return std::make_shared<ConvNeXtV2>(result); };
}

const EncoderFamily convnext_family("convnext-v2-3d", read_convnext);

}  // namespace

ConvNeXtBlockImpl::ConvNeXtBlockImpl(int64_t dim, double drop_path)
    : dwconv_(register_module("dwconv", DepthwiseConv3d(dim, 7))),
      pwconv1_(nullptr),
      pwconv2_(nullptr),
      grn_(nullptr),
      drop_path_(drop_path) {
  auto norm = register_module("norm", container());
  norm_weight_ = norm->register_parameter("weight", torch::ones({dim}));
  norm_bias_ = norm->register_parameter("bias", torch::zeros({dim}));
  pwconv1_ = register_module("pwconv1", torch::nn::Linear(dim, 4 * dim));
  grn_ = register_module("grn", GlobalResponseNorm(4 * dim));
  pwconv2_ = register_module("pwconv2", torch::nn::Linear(4 * dim, dim));
  initialise(pwconv1_);
  initialise(pwconv2_);
}

at::Tensor ConvNeXtBlockImpl::forward(const at::Tensor& x, const at::Tensor& keep) {
  const at::Tensor keep_last = keep.defined() ? keep.movedim(1, -1) : at::Tensor();  // [N, D, H, W, 1]
  at::Tensor y = dwconv_(x).movedim(1, -1);                                          // [N, D, H, W, C]
  y = layer_norm_operand(y, norm_weight_, norm_bias_);
  // Biases fill masked voxels, and GRN takes norms over all of them: hence `keep` before GRN and after it.
  if (takes_grn_perceptron(y)) {
    y = grn_perceptron(
        y, {pwconv1_->weight, pwconv1_->bias, grn_->gamma, grn_->beta, pwconv2_->weight, pwconv2_->bias},
        keep_last);
  } else {
    y = at::gelu(pwconv1_(y));  // [N, D, H, W, 4 C]
    if (keep.defined()) y = y * keep_last;
    y = pwconv2_(grn_(y));  // [N, D, H, W, C]
  }
  if (keep.defined()) y = y * keep_last;
  return with_plain_strides(x + drop_path(y.movedim(-1, 1), drop_path_, is_training()));  // [N, C, D, H, W]
}

ConvNeXtV2::ConvNeXtV2(const ConvNeXtSpecification& specification) : specification_(specification) {
  const auto& dims = specification.dims;
  auto downsample_layers = register_module("downsample_layers", container());
  for (size_t stage = 0; stage < 4; ++stage) {
    auto layer = downsample_layers->register_module(std::to_string(stage), container());
    if (stage == 0) {  // the stem: convolution, then norm
      downsample_[0] = layer->register_module("0", strided(specification.channels, dims[0], 4));
      downsample_norm_[0] = layer->register_module("1", ChannelNorm(dims[0]));
    } else {
      downsample_norm_[stage] = layer->register_module("0", ChannelNorm(dims[stage - 1]));
      downsample_[stage] =
          layer->register_module("1", strided(dims[stage - 1], dims[stage], stage == 3 ? 1 : 2));
    }
    initialise(downsample_[stage]);
  }

  int64_t total = 0;
  for (const int64_t depth : specification.depths) total += depth;
  int64_t index = 0;
  auto stages = register_module("stages", container());
  for (size_t stage = 0; stage < 4; ++stage) {
    auto list = stages->register_module(std::to_string(stage), container());
    for (int64_t block = 0; block < specification.depths[stage]; ++block, ++index) {
      const double rate = total > 1 ? specification.drop_path * double(index) / double(total - 1) : 0.0;
      blocks_[stage].push_back(
          list->register_module(std::to_string(block), ConvNeXtBlock(dims[stage], rate)));
    }
  }
  norm_ = register_module("norm", layer_norm_of(dims[3]));
}

std::vector<at::Tensor> ConvNeXtV2::stages(const at::Tensor& input, const at::Tensor& keep) {
  require(input.dim() == 5 && input.size(1) == specification_.channels, "Expected an input [N, ",
          specification_.channels, ", D, H, W] for the encoder but received ", input.sizes());
  std::vector<at::Tensor> result;
  // Channels-last from the first layer on: the depthwise convolutions and norms are several times faster in it.
  at::Tensor x = pad_to_minimum(input, kStride).contiguous(at::MemoryFormat::ChannelsLast3d);
  for (size_t stage = 0; stage < 4; ++stage) {
    x = stage == 0
            ? downsample_norm_[0](patch_conv3d(downsample_[0], x))  // [N, dims[0], D / 4, H / 4, W / 4]
            : patch_conv3d(downsample_[stage], downsample_norm_[stage](x));
    at::Tensor stage_keep;
    if (keep.defined()) {
      // Each voxel of the stage lies in one patch: visible or not as a whole.
      stage_keep = at::upsample_nearest3d(keep, {x.size(2), x.size(3), x.size(4)}).to(x.scalar_type());
      x = x * stage_keep;
    }
    for (auto& block : blocks_[stage]) x = checkpointed_block(block, x, stage_keep);
    result.push_back(x);
  }
  return result;
}

at::Tensor ConvNeXtV2::pool(const at::Tensor& deepest) {
  return layer_norm(in_float32(deepest).mean({2, 3, 4}), norm_);  // [N, dims[3]]
}

at::Tensor ConvNeXtV2::norm_features(const at::Tensor& features) {
  return layer_norm(features.movedim(1, -1), norm_).movedim(-1, 1);
}

}  // namespace transfer_limits
