#include "models/provicnet_heads.h"

#include <cmath>

#include "layers/batch_norm.h"
#include "layers/precision.h"

namespace transfer_limits {
namespace {

torch::nn::Conv2d same_size(int64_t in, int64_t out) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).padding(1));
}

at::Tensor doubled(const at::Tensor& x) { return at::upsample_nearest2d(x, {2 * x.size(2), 2 * x.size(3)}); }

}  // namespace

ConvHeadImpl::ConvHeadImpl(int64_t features, int64_t outputs, int64_t width) {
  // Named by position in the published sequence, where upsampling and ReLU take the other numbers.
  auto layers = register_module("segmentation_conv", std::make_shared<torch::nn::Module>());
  conv1_ = layers->register_module("1", same_size(features, 8 * width));
  norm1_ = layers->register_module("2", torch::nn::BatchNorm2d(8 * width));
  conv2_ = layers->register_module("5", same_size(8 * width, 4 * width));
  norm2_ = layers->register_module("6", torch::nn::BatchNorm2d(4 * width));
  conv3_ = layers->register_module("9", same_size(4 * width, outputs));
}

at::Tensor ConvHeadImpl::forward(const at::Tensor& x) {
  at::Tensor y = at::relu(batch_norm(norm1_, conv1_(doubled(x))));  // [N, 8 width, 2 h, 2 w]
  y = at::relu(batch_norm(norm2_, conv2_(doubled(y))));             // [N, 4 width, 4 h, 4 w]
  return conv3_(doubled(y));                                        // [N, outputs, 8 h, 8 w]
}

ContrastiveHeadImpl::ContrastiveHeadImpl(int64_t features, const ContrastiveSpecification& head) {
  auto mlp = register_module("mlp", std::make_shared<torch::nn::Module>());
  layer1_ = mlp->register_module("0", torch::nn::Linear(features, head.hidden));
  layer2_ = mlp->register_module("2", torch::nn::Linear(head.hidden, head.hidden));
  layer3_ = mlp->register_module("4", torch::nn::Linear(head.hidden, head.bottleneck));
  for (torch::nn::Linear* layer : {&layer1_, &layer2_, &layer3_}) {
    torch::nn::init::normal_((*layer)->weight, 0.0, 0.02);
    torch::nn::init::zeros_((*layer)->bias);
  }
  auto last = register_module("last_layer", std::make_shared<torch::nn::Module>());
  weight_g_ = last->register_parameter("weight_g", torch::ones({head.prototypes, 1}));
  weight_v_ = last->register_parameter("weight_v", torch::empty({head.prototypes, head.bottleneck}));
  const double bound = 1.0 / std::sqrt(double(head.bottleneck));  // a linear layer's usual one
  torch::nn::init::uniform_(weight_v_, -bound, bound);
}

at::Tensor ContrastiveHeadImpl::bottleneck(const at::Tensor& x) {
  return layer3_(at::gelu(layer2_(at::gelu(layer1_(x)))));
}

at::Tensor ContrastiveHeadImpl::forward(const at::Tensor& x) {
  at::Tensor y = in_float32(bottleneck(x));  // [M, bottleneck]
  const WithoutAutocast exact(y.device());   // a softmax of low temperature follows
  y = y / at::linalg_vector_norm(y, 2, {-1}, /*keepdim=*/true).clamp_min(1e-12);
  return at::linear(y, at::_weight_norm(weight_v_, weight_g_.detach(), 0));  // [M, prototypes]
}

}  // namespace transfer_limits
