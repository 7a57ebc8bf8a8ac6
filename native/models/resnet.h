#pragma once

#include <array>
#include <vector>

#include "models/pyramid_encoder.h"
#include "models/specification.h"

namespace transfer_limits {

// Convolution without bias and batch norm, and a ReLU where the block has one: registered in its parent under two names.
struct ConvAndNorm {
  torch::nn::Conv3d conv = nullptr;
  torch::nn::BatchNorm3d norm = nullptr;

  at::Tensor operator()(const at::Tensor& x);
};

// The bottleneck block of He 2016 in 3D: 1x1x1, 3x3x3, 1x1x1 to four times the width, and a residual. The stride is in
// the middle, as in the implementations in common use.
class BottleneckImpl : public torch::nn::Module {
 public:
  static constexpr int64_t kExpansion = 4;

  BottleneckImpl(int64_t in, int64_t width, int64_t stride);

  // x: [N, in, D, H, W] -> [N, 4 width, D / stride, H / stride, W / stride], sizes rounded up
  at::Tensor forward(const at::Tensor& x);

 private:
  ConvAndNorm first_, middle_, last_, shortcut_;
};
TORCH_MODULE(Bottleneck);

// The layers of a 3D ResNet (He 2016) of bottleneck blocks, registered in `parent` under torchvision's names: stem 7x7x7
// of stride 2 and max pooling, four stages.
class ResNetTrunk {
 public:
  ResNetTrunk(torch::nn::Module& parent, int64_t channels, int64_t features,
              const std::array<int64_t, 4>& blocks);

  // The four stages of x [N, C, D, H, W], at strides of 4, 8, 16 and 32, sizes rounded up. Throws BAD_INPUT for another
  // input, and where training would give batch norm a single voxel a channel.
  std::vector<at::Tensor> stages(const at::Tensor& input, bool training);

  int64_t channels() const { return channels_; }
  const std::array<int64_t, 4>& widths() const { return widths_; }

 private:
  int64_t channels_;
  ConvAndNorm stem_;
  std::array<std::vector<Bottleneck>, 4> blocks_;
  std::array<int64_t, 4> widths_ = {};
};

// A ResNet as an encoder; its features are the mean over all voxels of the last stage, which has no further norm.
class ResNetEncoder : public PyramidEncoder {
 public:
  explicit ResNetEncoder(const ResNetEncoderSpecification& specification);

  int64_t channels() const override { return trunk_.channels(); }
  int64_t stride() const override { return 32; }
  std::array<int64_t, 4> widths() const override { return trunk_.widths(); }
  // What `keep` hides is zero in the input: unlike a sparse convolution, the layers then see its edges.
  std::vector<at::Tensor> stages(const at::Tensor& input, const at::Tensor& keep = {}) override;

 private:
  ResNetTrunk trunk_;
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
