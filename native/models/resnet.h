#pragma once

#include <array>
#include <vector>

#include "models/pyramid_encoder.h"

namespace transfer_limits {

// Convolution without bias and batch norm, and a ReLU where the block has one: registered in its parent under two names.
struct ConvAndNorm {
  torch::nn::Conv3d conv = nullptr;
  torch::nn::BatchNorm3d norm = nullptr;

  at::Tensor operator()(const at::Tensor& x);
};

// What stands between the first convolution and the stages of a ResNet, and what its blocks are.
struct ResNetShape {
  int64_t channels = 3;
  int64_t features = 64;  // after the first convolution
  std::array<int64_t, 4> blocks = {3, 4, 6, 3};
  bool bottleneck = true;  // else two convolutions 3x3x3 a block, as ResNet-18 and -34 have
  bool pads_shortcuts =
      false;  // a shortcut to more features is filled with zeros, not convolved (He 2016, option A)
  std::array<int64_t, 3> stem_kernel = {7, 7, 7};
  std::array<int64_t, 3> stem_stride = {2, 2, 2};
  bool pool = true;  // maxima of 3x3x3 at stride 2 after the stem

  // How many times as many features leave a block as are inside it.
  int64_t expansion() const { return bottleneck ? 4 : 1; }
  // Voxels of the input from one of the deepest stage to the next, an axis.
  std::array<int64_t, 3> strides() const;
};

// The blocks of He 2016 in 3D: 1x1x1, 3x3x3, 1x1x1 to four times the width, or 3x3x3 twice, and a residual. The stride is
// in the first 3x3x3, as in the implementations in common use.
class ResNetBlockImpl : public torch::nn::Module {
 public:
  ResNetBlockImpl(const ResNetShape& shape, int64_t in, int64_t width, int64_t stride);

  // x: [N, in, D, H, W] -> [N, expansion * width, D / stride, H / stride, W / stride], sizes rounded up
  at::Tensor forward(const at::Tensor& x);

 private:
  at::Tensor beside(const at::Tensor& x);

  int64_t stride_, added_;  // features that the shortcut lacks and is padded with
  std::vector<ConvAndNorm> layers_;
  ConvAndNorm shortcut_;
};
TORCH_MODULE(ResNetBlock);

// The layers of a 3D ResNet (He 2016), registered in `parent` under torchvision's names: the stem and max pooling, four
// stages.
class ResNetTrunk {
 public:
  ResNetTrunk(torch::nn::Module& parent, const ResNetShape& shape);

  // The four stages of x [N, C, D, H, W], each but the first at half the size of the one before, rounded up. Throws
  // BAD_INPUT for another input, and where training would give batch norm a single voxel a channel.
  std::vector<at::Tensor> stages(const at::Tensor& input, bool training);

  const ResNetShape& shape() const { return shape_; }
  const std::array<int64_t, 4>& widths() const { return widths_; }

 private:
  ResNetShape shape_;
  ConvAndNorm stem_;
  std::array<std::vector<ResNetBlock>, 4> blocks_;
  std::array<int64_t, 4> widths_ = {};
};

// A ResNet as an encoder; its features are the mean over all voxels of the last stage, which has no further norm.
class ResNetEncoder : public PyramidEncoder {
 public:
  explicit ResNetEncoder(const ResNetShape& shape);

  int64_t channels() const override { return trunk_.shape().channels; }
  int64_t stride() const override;
  std::array<int64_t, 4> widths() const override { return trunk_.widths(); }
  // What `keep` hides is zero in the input: unlike a sparse convolution, the layers then see its edges.
  std::vector<at::Tensor> stages(const at::Tensor& input, const at::Tensor& keep = {}) override;

 private:
  ResNetTrunk trunk_;
};

struct ResNetSpecification {
  int64_t channels = 1;
  int64_t classes = 4;
  int64_t features = 64;
  std::array<int64_t, 4> blocks = {3, 4, 6, 3};
};

// A ResNet as a classifier: the mean over all voxels, one linear layer.
class ResNet : public Network {
 public:
  explicit ResNet(const ResNetSpecification& specification);

  // Logits [N, classes].
  at::Tensor forward(const at::Tensor& input) override;

 private:
  ResNetTrunk trunk_;
  torch::nn::Linear classes_ = nullptr;
};

}  // namespace transfer_limits
