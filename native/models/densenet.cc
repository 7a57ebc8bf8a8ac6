#include <array>
#include <string>
#include <utility>
#include <vector>

#include "layers/batch_norm.h"
#include "layers/container.h"
#include "layers/conv3d.h"
#include "layers/deterministic.h"
#include "layers/padding.h"
#include "models/families.h"
#include "models/pyramid_encoder.h"

namespace transfer_limits {
namespace {

struct DenseNetShape {
  int64_t channels = 1;
  int64_t features = 64;  // after the first convolution
  int64_t growth = 32;    // what each layer adds
  std::array<int64_t, 4> blocks = {6, 12, 24, 16};
};

constexpr int64_t kBottleneck = 4;  // a layer's 1x1x1 makes so many times the growth

torch::nn::Conv3d dense_conv(int64_t in, int64_t out, int64_t edge, int64_t stride) {
  torch::nn::Conv3d conv(
      torch::nn::Conv3dOptions(in, out, edge).stride(stride).padding(edge / 2).bias(false));
  torch::nn::init::kaiming_normal_(conv->weight);
  return conv;
}

// Norm, ReLU and a 1x1x1 convolution to a few features, norm, ReLU and a 3x3x3 convolution to `growth` new ones.
class DenseLayerImpl : public torch::nn::Module {
 public:
  DenseLayerImpl(int64_t in, int64_t growth) {
    auto layers = register_module("layers", container());
    norm1_ = layers->register_module("norm1", torch::nn::BatchNorm3d(in));
    conv1_ = layers->register_module("conv1", dense_conv(in, kBottleneck * growth, 1, 1));
    norm2_ = layers->register_module("norm2", torch::nn::BatchNorm3d(kBottleneck * growth));
    conv2_ = layers->register_module("conv2", dense_conv(kBottleneck * growth, growth, 3, 1));
  }

  // [N, in, D, H, W] -> [N, in + growth, D, H, W]
  at::Tensor forward(const at::Tensor& x) {
    const at::Tensor few = conv3d_same(at::relu(batch_norm(norm1_, x)), conv1_->weight);
    return at::cat({x, conv3d_same(at::relu(batch_norm(norm2_, few)), conv2_->weight)}, 1);
  }

 private:
  torch::nn::BatchNorm3d norm1_ = nullptr, norm2_ = nullptr;
  torch::nn::Conv3d conv1_ = nullptr, conv2_ = nullptr;
};
TORCH_MODULE(DenseLayer);

// Between two blocks: norm, ReLU, a 1x1x1 convolution to half the features, means of 2x2x2 voxels.
class DenseTransitionImpl : public torch::nn::Module {
 public:
  explicit DenseTransitionImpl(int64_t in)
      : norm_(register_module("norm", torch::nn::BatchNorm3d(in))),
        conv_(register_module("conv", dense_conv(in, in / 2, 1, 1))) {}

  at::Tensor forward(const at::Tensor& x) {
    at::Tensor y = conv3d_same(at::relu(batch_norm(norm_, x)), conv_->weight);
    // A last voxel that has no other beside it is left out, as in the package.
    for (int64_t axis = 2; axis < 5; ++axis) y = y.narrow(axis, 0, y.size(axis) / 2 * 2);
    return box_means(y, {y.size(2) / 2, y.size(3) / 2, y.size(4) / 2});
  }

 private:
  torch::nn::BatchNorm3d norm_;
  torch::nn::Conv3d conv_;
};
TORCH_MODULE(DenseTransition);

// DenseNet (Huang 2017) in 3D as MONAI has it: a stem of 7x7x7 and pooling, four blocks whose layers see all that came
// before. The pyramid is what leaves the blocks, the last of it after the final norm. An axis shorter than 32 voxels is
// padded to that by replication.
class DenseNetEncoder : public PyramidEncoder {
 public:
  explicit DenseNetEncoder(const DenseNetShape& shape) : shape_(shape) {
    conv0_ = register_module("conv0", dense_conv(shape.channels, shape.features, 7, 2));
    norm0_ = register_module("norm0", torch::nn::BatchNorm3d(shape.features));
    int64_t features = shape.features;
    for (size_t stage = 0; stage < 4; ++stage) {
      const std::string number = std::to_string(stage + 1);
      auto block = register_module("denseblock" + number, container());
      for (int64_t index = 0; index < shape.blocks[stage]; ++index) {
        layers_[stage].push_back(block->register_module("denselayer" + std::to_string(index + 1),
                                                        DenseLayer(features, shape.growth)));
        features += shape.growth;
      }
      widths_[stage] = features;
      if (stage == 3) continue;
      transitions_[stage] = register_module("transition" + number, DenseTransition(features));
      features /= 2;
    }
    norm5_ = register_module("norm5", torch::nn::BatchNorm3d(features));
  }

  int64_t channels() const override { return shape_.channels; }
  int64_t stride() const override { return kStride; }
  std::array<int64_t, 4> widths() const override { return widths_; }

  // What `keep` hides is zero in the input: unlike a sparse convolution, the layers then see its edges.
  std::vector<at::Tensor> stages(const at::Tensor& input, const at::Tensor& keep) override {
    require(input.dim() == 5 && input.size(1) == shape_.channels && input.numel() > 0,
            "Expected an input [N, ", shape_.channels, ", D, H, W] for the DenseNet but received ",
            input.sizes());
    const at::Tensor shown =
        keep.defined() ? input * at::upsample_nearest3d(keep, input.sizes().slice(2)) : at::Tensor(input);
    at::Tensor x = pad_to_minimum(shown, kStride).contiguous(at::MemoryFormat::ChannelsLast3d);
    require(
        !is_training() || samples_of_norms(x) > 1 || x.numel() / x.size(1) >= 2 * kStride * kStride * kStride,
        "Expected at least 2 samples a batch, or at least ", 2 * kStride,
        " voxels along an axis, for training a DenseNet, whose batch norm needs them, but received ",
        input.sizes());
    x = window_maxima(at::relu(batch_norm(norm0_, padded(conv0_, x))),
                      {3, 2, 1});  // [N, features, D / 4, ..]
    std::vector<at::Tensor> result;
    for (size_t stage = 0; stage < 4; ++stage) {
      for (DenseLayer& layer : layers_[stage]) x = layer(x);
      result.push_back(stage == 3 ? at::relu(batch_norm(norm5_, x))
                                  : x);  // [N, widths[stage], D / 4, ..], then halved
      if (stage < 3) x = transitions_[stage](x);
    }
    return result;
  }

 private:
  static constexpr int64_t kStride = 32;

  DenseNetShape shape_;
  torch::nn::Conv3d conv0_ = nullptr;
  torch::nn::BatchNorm3d norm0_ = nullptr, norm5_ = nullptr;
  std::array<std::vector<DenseLayer>, 4> layers_;
  std::array<DenseTransition, 3> transitions_ = {nullptr, nullptr, nullptr};
  std::array<int64_t, 4> widths_ = {};
};

EncoderMaker read_densenet(const Settings& encoder) {
  DenseNetShape shape;
  shape.channels = encoder.integer("channels", 1, 4096);
  shape.features = encoder.integer("features", 1, 4096);
  shape.growth = encoder.integer("growth", 1, 1024);
  shape.blocks = encoder.integers<4>("blocks", 1, 1000);
  return [shape] { return std::make_shared<DenseNetEncoder>(shape); };
}

const EncoderFamily densenet_family("densenet-3d", read_densenet);

}  // namespace
}  // namespace transfer_limits
