#include "models/resnet.h"

#include <algorithm>
#include <string>
#include <tuple>

#include "layers/batch_norm.h"
#include "layers/container.h"
#include "layers/conv3d.h"
#include "layers/deterministic.h"
#include "layers/precision.h"
#include "models/families.h"

namespace transfer_limits {
namespace {

using Edges = std::array<int64_t, 3>;

constexpr Edges cube(int64_t edge) { return {edge, edge, edge}; }

ConvAndNorm conv_and_norm(int64_t in, int64_t out, const Edges& kernel, const Edges& stride) {
  ConvAndNorm result;
  result.conv = torch::nn::Conv3d(torch::nn::Conv3dOptions(in, out, {kernel[0], kernel[1], kernel[2]})
                                      .stride({stride[0], stride[1], stride[2]})
                                      .padding({kernel[0] / 2, kernel[1] / 2, kernel[2] / 2})
                                      .bias(false));
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

// Whether a convolution keeps the size, with the same edge along all axes.
bool keeps_size(const torch::nn::Conv3d& conv) {
  const auto& [kernel, stride] = std::tie(conv->options.kernel_size(), conv->options.stride());
  return *stride == at::ArrayRef<int64_t>({1, 1, 1}) && kernel->at(0) == kernel->at(1) &&
         kernel->at(0) == kernel->at(2);
}

// Voxels that a volume has at the deepest stage.
int64_t deepest_voxels(const at::Tensor& input, const Edges& strides) {
  int64_t voxels = 1;
  for (size_t axis = 0; axis < 3; ++axis) {
    voxels *= (input.size(int64_t(axis) + 2) + strides[axis] - 1) / strides[axis];
  }
  return voxels;
}

ResNetShape read_shape(const Settings& encoder) {
  ResNetShape shape;
  shape.channels = encoder.integer("channels", 1, 4096);
  shape.features = encoder.integer("features", 1, 4096);
  shape.blocks = encoder.integers<4>("blocks", 1, 1000);
  shape.bottleneck = encoder.word("block", {"bottleneck", "basic"}) == "bottleneck";
  shape.pads_shortcuts = encoder.word("shortcut", {"convolution", "padding"}) == "padding";
  if (const auto stem = encoder.section("stem")) {
    shape.stem_kernel = stem->integers<3>("kernel", 1, 63);
    shape.stem_stride = stem->integers<3>("stride", 1, 16);
    shape.pool = stem->flag_or("pool", true);
    for (const int64_t edge : shape.stem_kernel) {
      require(edge % 2 == 1, "Expected odd numbers for ", stem->named("kernel"), " but received ", edge);
    }
  }
  return shape;
}

EncoderMaker read_resnet(const Settings& encoder) {
  return [shape = read_shape(encoder)] { return std::make_shared<ResNetEncoder>(shape); };
}

const EncoderFamily resnet_family("resnet-3d", read_resnet);

ModelMaker read_resnet_classifier(const Settings& model) {
  ResNetSpecification result;
  result.channels = model.integer("channels", 1, 4096);
  result.classes = model.integer("classes", 1, 65536);
  result.features = model.integer("features", 1, 4096);
  result.blocks = model.integers<4>("blocks", 1, 1000);
  return model_maker<ResNet>(result, &ResNetSpecification::classes, /*takes_bins=*/false);
}

const ModelFamily resnet_classifier_family("resnet-3d", read_resnet_classifier);

}  // namespace

Edges ResNetShape::strides() const {
  Edges result = stem_stride;
  for (int64_t& stride : result) stride *= pool ? 16 : 8;
  return result;
}

at::Tensor ConvAndNorm::operator()(const at::Tensor& x) {
  return batch_norm(norm, keeps_size(conv) ? conv3d_same(x, conv->weight) : padded(conv, x));
}

ResNetBlockImpl::ResNetBlockImpl(const ResNetShape& shape, int64_t in, int64_t width, int64_t stride)
    : stride_(stride), added_(0) {
  const int64_t out = shape.expansion() * width;
  // Edge, features and stride of each convolution.
  const std::vector<std::array<int64_t, 3>> layers =
      shape.bottleneck ? std::vector<std::array<int64_t, 3>>{{1, width, 1}, {3, width, stride}, {1, out, 1}}
                       : std::vector<std::array<int64_t, 3>>{{3, width, stride}, {3, width, 1}};
  int64_t features = in;
  for (const auto& [edge, next, step] : layers) {
    const std::string number = std::to_string(layers_.size() + 1);
    layers_.push_back(register_in(*this, "conv" + number, "bn" + number,
                                  conv_and_norm(features, next, cube(edge), cube(step))));
    features = next;
  }
  if (stride == 1 && in == out) return;
  if (shape.pads_shortcuts) {
    added_ = out - in;
    return;
  }
  auto downsample = register_module("downsample", container());
  shortcut_ = register_in(*downsample, "0", "1", conv_and_norm(in, out, cube(1), cube(stride)));
}

at::Tensor ResNetBlockImpl::beside(const at::Tensor& x) {
  if (shortcut_.conv) return shortcut_(x);
  at::Tensor y = x;
  for (int64_t axis = 2; stride_ > 1 && axis < 5; ++axis) y = y.slice(axis, 0, y.size(axis), stride_);
  return added_ == 0 ? y : at::constant_pad_nd(y, {0, 0, 0, 0, 0, 0, 0, added_});
}

at::Tensor ResNetBlockImpl::forward(const at::Tensor& x) {
  at::Tensor y = x;
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    y = layers_[layer](y);
    if (layer + 1 < layers_.size()) y = at::relu(y);
  }
  return at::relu(y + beside(x));  // [N, expansion * width, ..]
}

ResNetTrunk::ResNetTrunk(torch::nn::Module& parent, const ResNetShape& shape)
    : shape_(shape),
      stem_(
          register_in(parent, "conv1", "bn1",
                      conv_and_norm(shape.channels, shape.features, shape.stem_kernel, shape.stem_stride))) {
  int64_t in = shape.features;
  for (size_t stage = 0; stage < shape.blocks.size(); ++stage) {
    auto layer = parent.register_module("layer" + std::to_string(stage + 1), container());
    const int64_t width = shape.features << stage;
    for (int64_t index = 0; index < shape.blocks[stage]; ++index) {
      const int64_t stride = stage > 0 && index == 0 ? 2 : 1;
      blocks_[stage].push_back(
          layer->register_module(std::to_string(index), ResNetBlock(shape, in, width, stride)));
      in = shape.expansion() * width;
    }
    widths_[stage] = in;
  }
}

std::vector<at::Tensor> ResNetTrunk::stages(const at::Tensor& input, bool training) {
  require(input.dim() == 5 && input.size(1) == shape_.channels && input.numel() > 0, "Expected an input [N, ",
          shape_.channels, ", D, H, W] for the ResNet but received ", input.sizes());
  const Edges strides = shape_.strides();
  require(!training || samples_of_norms(input) * deepest_voxels(input, strides) > 1,
          "Expected at least 2 samples a batch, or more than ", strides[0], " x ", strides[1], " x ",
          strides[2],
          " voxels along an axis, for training a ResNet, whose batch norm needs them, but received ",
          input.sizes());
  at::Tensor x = input.contiguous(at::MemoryFormat::ChannelsLast3d);
  x = at::relu(stem_(x));                            // [N, features, D / 2, H / 2, W / 2] of the usual stem
  if (shape_.pool) x = window_maxima(x, {3, 2, 1});  // [N, features, D / 4, H / 4, W / 4]
  std::vector<at::Tensor> result;
  for (auto& stage : blocks_) {
    for (auto& block : stage) x = block(x);
    result.push_back(x);  // [N, widths[stage], D / 4, H / 4, W / 4], then halved at each stage
  }
  return result;
}

ResNetEncoder::ResNetEncoder(const ResNetShape& shape) : trunk_(*this, shape) {}

int64_t ResNetEncoder::stride() const {
  const Edges strides = trunk_.shape().strides();
  return *std::max_element(strides.begin(), strides.end());
}

std::vector<at::Tensor> ResNetEncoder::stages(const at::Tensor& input, const at::Tensor& keep) {
  if (!keep.defined()) return trunk_.stages(input, is_training());
  return trunk_.stages(input * at::upsample_nearest3d(keep, input.sizes().slice(2)), is_training());
}

ResNet::ResNet(const ResNetSpecification& specification)
    : trunk_(*this, {specification.channels, specification.features, specification.blocks}) {
  classes_ = register_module("fc", torch::nn::Linear(trunk_.widths()[3], specification.classes));
}

at::Tensor ResNet::forward(const at::Tensor& input) {
  return classes_(in_float32(trunk_.stages(input, is_training()).back()).mean({2, 3, 4}));  // [N, classes]
}

}  // namespace transfer_limits
