#include <algorithm>
#include <string>

#include "layers/channels_last.h"
#include "layers/container.h"
#include "layers/conv3d.h"
#include "layers/deterministic.h"
#include "layers/group_norm.h"
#include "layers/padding.h"
#include "models/families.h"
#include "models/pyramid_encoder.h"

namespace transfer_limits {
namespace {

using Triple = std::array<int64_t, 3>;

struct ResidualEncoderShape {
  int64_t channels = 1;
  std::vector<int64_t> features, blocks;
  std::vector<Triple> kernels, strides;

  // Voxels of the input from one of a stage to the next, an axis.
  Triple stride_at(size_t stage) const {
    Triple result = {1, 1, 1};
    for (size_t before = 0; before <= stage; ++before) {
      for (size_t axis = 0; axis < 3; ++axis) result[axis] *= strides[before][axis];
    }
    return result;
  }
};

// A convolution with its instance norm, registered in `parent` as `<name>.conv` and `<name>.norm`.
class ConvInstanceNorm {
 public:
  ConvInstanceNorm(torch::nn::Module& parent, const std::string& name, int64_t in, int64_t out,
                   const Triple& kernel, const Triple& stride, bool bias) {
    auto module = parent.register_module(name, container());
    conv_ = module->register_module(
        "conv", torch::nn::Conv3d(torch::nn::Conv3dOptions(in, out, {kernel[0], kernel[1], kernel[2]})
                                      .stride({stride[0], stride[1], stride[2]})
                                      .padding({kernel[0] / 2, kernel[1] / 2, kernel[2] / 2})
                                      .bias(bias)));
    // As nnU-Net draws: He's rule for a leaky ReLU of 0.01.
    torch::nn::init::kaiming_normal_(conv_->weight, 0.01);
    if (bias) torch::nn::init::zeros_(conv_->bias);
    auto norm = module->register_module("norm", container());
    weight_ = norm->register_parameter("weight", torch::ones({out}));
    bias_ = norm->register_parameter("bias", torch::zeros({out}));
  }

  at::Tensor operator()(const at::Tensor& x, AfterNorm activation, const at::Tensor& residual = {}) {
    return instance_norm(padded(conv_, x), weight_, bias_, activation, residual);
  }

 private:
  torch::nn::Conv3d conv_ = nullptr;
  at::Tensor weight_, bias_;
};

// Two convolutions and a residual, which is averaged where the block strides (ResNet-D; He 2019).
class ResidualDBlock {
 public:
  ResidualDBlock(torch::nn::Module& parent, const std::string& name, int64_t in, int64_t out,
                 const Triple& kernel, const Triple& stride)
      : stride_(stride) {
    auto block = parent.register_module(name, container());
    layers_.emplace_back(*block, "conv1", in, out, kernel, stride, /*bias=*/true);
    layers_.emplace_back(*block, "conv2", out, out, kernel, Triple{1, 1, 1}, /*bias=*/true);
    if (in == out) return;
    auto skip = block->register_module("skip", container());  // the average comes first, where there is one
    projection_.emplace_back(*skip, strides() ? "1" : "0", in, out, Triple{1, 1, 1}, Triple{1, 1, 1},
                             /*bias=*/false);
  }

  at::Tensor operator()(const at::Tensor& x) {
    at::Tensor skip = x;
    if (strides()) {
      skip = box_means(skip, {x.size(2) / stride_[0], x.size(3) / stride_[1], x.size(4) / stride_[2]});
    }
    if (!projection_.empty()) skip = projection_[0](skip, AfterNorm::kNone);
    return layers_[1](layers_[0](x, AfterNorm::kLeakyRelu), AfterNorm::kLeakyRelu, skip);
  }

 private:
  bool strides() const { return stride_ != Triple{1, 1, 1}; }

  Triple stride_;
  std::vector<ConvInstanceNorm> layers_, projection_;
};

// The residual encoder of nnU-Net (Isensee 2024; dynamic-network-architectures), whose last four stages are the pyramid:
// a stem, then stages of residual blocks of which the first strides.
class ResidualEncoder : public PyramidEncoder {
 public:
  explicit ResidualEncoder(const ResidualEncoderShape& shape) : shape_(shape) {
    auto convs = register_module("stem", container())->register_module("convs", container());
    stem_.emplace_back(*convs, "0", shape.channels, shape.features[0], shape.kernels[0], Triple{1, 1, 1},
                       /*bias=*/true);
    auto stages = register_module("stages", container());
    int64_t in = shape.features[0];
    for (size_t stage = 0; stage < shape.features.size(); ++stage) {
      auto blocks =
          stages->register_module(std::to_string(stage), container())->register_module("blocks", container());
      stages_.emplace_back();
      for (int64_t index = 0; index < shape.blocks[stage]; ++index) {
        stages_.back().emplace_back(*blocks, std::to_string(index), in, shape.features[stage],
                                    shape.kernels[stage],
                                    index == 0 ? shape.strides[stage] : Triple{1, 1, 1});
        in = shape.features[stage];
      }
    }
  }

  int64_t channels() const override { return shape_.channels; }
  int64_t stride() const override {
    const Triple strides = shape_.stride_at(stages_.size() - 1);
    return *std::max_element(strides.begin(), strides.end());
  }
  std::array<int64_t, 4> widths() const override {
    std::array<int64_t, 4> result{};
    std::copy(shape_.features.end() - 4, shape_.features.end(), result.begin());
    return result;
  }

  // Sizes that its strides do not divide are padded by replication, and what lies beyond the volume is cut off again.
  std::vector<at::Tensor> stages(const at::Tensor& input, const at::Tensor& keep) override {
    require(input.dim() == 5 && input.size(1) == shape_.channels && input.numel() > 0,
            "Expected an input [N, ", shape_.channels, ", D, H, W] for the residual encoder but received ",
            input.sizes());
    at::Tensor x =
        keep.defined() ? input * at::upsample_nearest3d(keep, input.sizes().slice(2)) : at::Tensor(input);
    x = channels_last(pad_to_multiple(x, stride()));
    x = stem_[0](x, AfterNorm::kLeakyRelu);
    std::vector<at::Tensor> result;
    for (size_t stage = 0; stage < stages_.size(); ++stage) {
      for (ResidualDBlock& block : stages_[stage]) x = block(x);
      if (stage + 4 < stages_.size()) continue;
      Triple size{};
      const Triple stride = shape_.stride_at(stage);
      for (size_t axis = 0; axis < 3; ++axis) {
        size[axis] = (input.size(int64_t(axis) + 2) + stride[axis] - 1) / stride[axis];
      }
      result.push_back(crop_to(x, size));  // [N, features[stage], D / stride, ..]
    }
    return result;
  }

 private:
  ResidualEncoderShape shape_;
  std::vector<ConvInstanceNorm> stem_;
  std::vector<std::vector<ResidualDBlock>> stages_;
};

EncoderMaker read_residual_encoder(const Settings& encoder) {
  ResidualEncoderShape shape;
  shape.channels = encoder.integer("channels", 1, 4096);
  shape.features = encoder.integers("features", 1, 65536);
  const size_t count = shape.features.size();
  require(count >= 4 && count <= 12, "Expected 4 to 12 stages for ", encoder.named("features"),
          " but received ", count);
  shape.blocks = encoder.integers("blocks", 1, 1000);
  require(shape.blocks.size() == count, "Expected ", count, " whole numbers for ", encoder.named("blocks"),
          ", as many as there are features, but received ", shape.blocks.size());
  shape.strides = encoder.triples("strides", count, 1, 8);
  shape.kernels = encoder.has("kernels") ? encoder.triples("kernels", count, 1, 15)
                                         : std::vector<Triple>(count, Triple{3, 3, 3});
  for (const Triple& kernel : shape.kernels) {
    for (const int64_t edge : kernel) {
      require(edge % 2 == 1, "Expected odd numbers for ", encoder.named("kernels"), " but received ", edge);
    }
  }
  return [shape] { return std::make_shared<ResidualEncoder>(shape); };
}

const EncoderFamily residual_encoder_family("residual-encoder-3d", read_residual_encoder);

}  // namespace
}  // namespace transfer_limits
