#pragma once

#include <vector>

#include "models/network.h"
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

// A 3D ResNet (He 2016) of bottleneck blocks as a classifier: stem 7x7x7 of stride 2 and max pooling, four stages, the
// mean over all voxels, one linear layer. Parameters have torchvision's names.
class ResNet : public Network {
 public:
  explicit ResNet(const ResNetSpecification& specification);

  // Logits [N, classes].
  at::Tensor forward(const at::Tensor& input) override;

 private:
  ResNetSpecification specification_;
  ConvAndNorm stem_;
  std::vector<Bottleneck> blocks_;
  torch::nn::Linear classes_ = nullptr;
};

}  // namespace transfer_limits
