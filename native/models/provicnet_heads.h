#pragma once

#include "models/heads.h"
#include "modules.h"

namespace transfer_limits {

// ProViCNet's `conv1` head: three times nearest upsampling by 2 and a 3x3 convolution, batch norm and ReLU between. The
// convolutions have 8 and 4 times `width` channels; the published width is 16.
class ConvHeadImpl : public torch::nn::Module {
 public:
  ConvHeadImpl(int64_t features, int64_t outputs, int64_t width = 16);

  // x: [N, features, h, w] -> logits [N, outputs, 8 h, 8 w]
  at::Tensor forward(const at::Tensor& x);

 private:
  torch::nn::Conv2d conv1_ = nullptr, conv2_ = nullptr, conv3_ = nullptr;
  torch::nn::BatchNorm2d norm1_ = nullptr, norm2_ = nullptr;
};
TORCH_MODULE(ConvHead);

// ProViCNet's contrastive head, DINO's (Caron 2021): three linear layers, L2 normalisation, and a weight-normalised
// layer whose rows keep the length that `weight_g` has: it is stored, but gets no gradient.
class ContrastiveHeadImpl : public torch::nn::Module {
 public:
  ContrastiveHeadImpl(int64_t features, const ContrastiveSpecification& head);

  // x: [M, features] -> [M, prototypes]
  at::Tensor forward(const at::Tensor& x);

  // What is normalised before the prototypes: [M, features] -> [M, bottleneck]
  at::Tensor bottleneck(const at::Tensor& x);

 private:
  torch::nn::Linear layer1_ = nullptr, layer2_ = nullptr, layer3_ = nullptr;
  at::Tensor weight_g_, weight_v_;
};
TORCH_MODULE(ContrastiveHead);

}  // namespace transfer_limits
