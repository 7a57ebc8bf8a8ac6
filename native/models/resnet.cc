#include "models/resnet.h"

#include <string>

#include "layers/container.h"
#include "layers/conv3d.h"
#include "layers/deterministic.h"
#include "layers/precision.h"

namespace transfer_limits {
namespace {

ConvAndNorm conv_and_norm(int64_t in, int64_t out, int64_t kernel, int64_t stride) {
  ConvAndNorm result;
  result.conv = torch::nn::Conv3d(
      torch::nn::Conv3dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false));
  torch::nn::init::kaiming_normal_(result.conv->weight, 0.0, torch::kFanOut, torch::kReLU);
  result.norm = torch::nn::BatchNorm3d(out);
  return result;
}

ConvAndNorm register_in(torch::nn::Module& parent, const std::string& conv, const std::string& norm,
                        ConvAndNorm layers) {
  parent.register_module(conv, layers.conv);
  parent.register_module(norm, layers.norm);
  return layers;
}

// Voxels that a volume has at the deepest stage: five times halved, rounded up.
int64_t deepest_voxels(const at::Tensor& input) {
  int64_t voxels = 1;
  for (int64_t axis = 2; axis < 5; ++axis) voxels *= (input.size(axis) + 31) / 32;
  return voxels;
}

}  // namespace

at::Tensor ConvAndNorm::operator()(const at::Tensor& x) {
  const bool same_size = conv->options.stride()->at(0) == 1;
  return norm(same_size ? conv3d_same(x, conv->weight) : padded(conv, x));
}

BottleneckImpl::BottleneckImpl(int64_t in, int64_t width, int64_t stride)
    : first_(register_in(*this, "conv1", "bn1", conv_and_norm(in, width, 1, 1))),
      middle_(register_in(*this, "conv2", "bn2", conv_and_norm(width, width, 3, stride))),
      last_(register_in(*this, "conv3", "bn3", conv_and_norm(width, kExpansion * width, 1, 1))) {
  if (stride == 1 && in == kExpansion * width) return;
  auto downsample = register_module("downsample", container());
  shortcut_ = register_in(*downsample, "0", "1", conv_and_norm(in, kExpansion * width, 1, stride));
}

at::Tensor BottleneckImpl::forward(const at::Tensor& x) {
  const at::Tensor y = last_(at::relu(middle_(at::relu(first_(x)))));  // [N, 4 width, ..]
  return at::relu(y + (shortcut_.conv ? shortcut_(x) : x));
}

ResNetTrunk::ResNetTrunk(torch::nn::Module& parent, int64_t channels, int64_t features,
                         const std::array<int64_t, 4>& blocks)
    : channels_(channels),
      stem_(register_in(parent, "conv1", "bn1", conv_and_norm(channels, features, 7, 2))) {
  int64_t in = features;
  for (size_t stage = 0; stage < blocks.size(); ++stage) {
    auto layer = parent.register_module("layer" + std::to_string(stage + 1), container());
    const int64_t width = features << stage;
    for (int64_t index = 0; index < blocks[stage]; ++index) {
      const int64_t stride = stage > 0 && index == 0 ? 2 : 1;
      blocks_[stage].push_back(layer->register_module(std::to_string(index), Bottleneck(in, width, stride)));
      in = BottleneckImpl::kExpansion * width;
    }
    widths_[stage] = in;
  }
}

std::vector<at::Tensor> ResNetTrunk::stages(const at::Tensor& input, bool training) {
  require(input.dim() == 5 && input.size(1) == channels_ && input.numel() > 0, "Expected an input [N, ",
          channels_, ", D, H, W] for the ResNet but received ", input.sizes());
  require(!training || input.size(0) * deepest_voxels(input) > 1,
          "Expected at least 2 samples a batch, or more than 32 voxels along an axis, for training a ResNet, "
          "whose batch norm needs them, but received ",
          input.sizes());
  at::Tensor x = input.contiguous(at::MemoryFormat::ChannelsLast3d);
  x = at::relu(stem_(x));           // [N, features, D / 2, H / 2, W / 2]
  x = window_maxima(x, {3, 2, 1});  // [N, features, D / 4, H / 4, W / 4]
  std::vector<at::Tensor> result;
  for (auto& stage : blocks_) {
    for (auto& block : stage) x = block(x);
    result.push_back(x);  // [N, widths[stage], D / 4, H / 4, W / 4], then halved at each stage
  }
  return result;
}

ResNetEncoder::ResNetEncoder(const ResNetEncoderSpecification& specification)
    : trunk_(*this, specification.channels, specification.features, specification.blocks) {}

std::vector<at::Tensor> ResNetEncoder::stages(const at::Tensor& input, const at::Tensor& keep) {
  if (!keep.defined()) return trunk_.stages(input, is_training());
  return trunk_.stages(input * at::upsample_nearest3d(keep, input.sizes().slice(2)), is_training());
}

ResNet::ResNet(const ResNetSpecification& specification)
    : trunk_(*this, specification.channels, specification.features, specification.blocks) {
  classes_ = register_module("fc", torch::nn::Linear(trunk_.widths()[3], specification.classes));
}

at::Tensor ResNet::forward(const at::Tensor& input) {
  return classes_(in_float32(trunk_.stages(input, is_training()).back()).mean({2, 3, 4}));  // [N, classes]
}

}  // namespace transfer_limits
