#pragma once

#include "layers/unetr_blocks.h"
#include "models/heads.h"
#include "models/provicnet_heads.h"
#include "modules.h"

namespace transfer_limits {

// Three linear layers with GELU between, on a volume's features.
class VitClassifierHeadImpl : public torch::nn::Module {
 public:
  VitClassifierHeadImpl(int64_t features, const ClassifierSpecification& head);

  // x: [N, features] -> logits [N, classes]
  at::Tensor forward(const at::Tensor& x);

 private:
  torch::nn::Linear layer1_ = nullptr, layer2_ = nullptr, layer3_ = nullptr;
};
TORCH_MODULE(VitClassifierHead);

// Super-resolution between slices. Each slice's patch tokens are upsampled as by the `conv1` head to a few features a
// pixel; over the stack of slices a residual block sees them with the image, and predicts two slices for each.
class VitSubpixelHeadImpl : public torch::nn::Module {
 public:
  VitSubpixelHeadImpl(int64_t features, const UnetrSpecification& head);

  // Patch tokens on their grid [N, features, h, w] -> [N, feature size, 8 h, 8 w], slice by slice.
  at::Tensor features_of(const at::Tensor& patches) { return upsample_(patches); }

  // Features [N, feature size, D, H, W] of the volume [N, C, D, H, W] -> [N, outputs, 2 D, H, W]: the first channel,
  // each slice twice, plus what the head adds.
  at::Tensor forward(const at::Tensor& features, const at::Tensor& volume);

 private:
  ConvHead upsample_ = nullptr;
  ResidualBlock refine_ = nullptr;
  torch::nn::Conv3d out_ = nullptr;
};
TORCH_MODULE(VitSubpixelHead);

}  // namespace transfer_limits
