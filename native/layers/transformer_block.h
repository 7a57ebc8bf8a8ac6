#pragma once

#include "layers/attention.h"
#include "layers/layer_norm.h"
#include "layers/linear.h"
#include "modules.h"

namespace transfer_limits {

// A learnt factor a feature on a residual branch (Touvron 2021). 1 at first, as in the published architecture.
class LayerScaleImpl : public torch::nn::Module {
 public:
  explicit LayerScaleImpl(int64_t dim) : gamma_(register_parameter("gamma", torch::ones({dim}))) {}
  // x + gamma * branch
  at::Tensor forward(const at::Tensor& x, const at::Tensor& branch) { return at::addcmul(x, branch, gamma_); }

 private:
  at::Tensor gamma_;
};
TORCH_MODULE(LayerScale);

// Two linear layers with GELU between them.
class PerceptronImpl : public torch::nn::Module {
 public:
  PerceptronImpl(int64_t dim, int64_t hidden)
      : fc1_(register_module("fc1", torch::nn::Linear(dim, hidden))),
        fc2_(register_module("fc2", torch::nn::Linear(hidden, dim))) {
    for (torch::nn::Linear* layer : {&fc1_, &fc2_}) {
      torch::nn::init::normal_((*layer)->weight, 0.0, 0.02);
      torch::nn::init::zeros_((*layer)->bias);
    }
  }
  at::Tensor forward(const at::Tensor& x) { return linear(linear_gelu(x, fc1_), fc2_); }

 private:
  torch::nn::Linear fc1_, fc2_;
};
TORCH_MODULE(Perceptron);

// A pre-norm transformer block with layer scale over tokens [N, T, E], named as DINOv2 names it.
class TransformerBlockImpl : public torch::nn::Module {
 public:
  TransformerBlockImpl(int64_t dim, int64_t heads)
      : norm1_(register_module("norm1", layer_norm_of(dim))),
        attn_(register_module("attn", Attention(dim, heads))),
        ls1_(register_module("ls1", LayerScale(dim))),
        norm2_(register_module("norm2", layer_norm_of(dim))),
        mlp_(register_module("mlp", Perceptron(dim, 4 * dim))),
        ls2_(register_module("ls2", LayerScale(dim))) {}

  at::Tensor forward(const at::Tensor& x) {
    const at::Tensor y = ls1_(x, attn_(layer_norm_operand(x, norm1_)));
    return ls2_(y, mlp_(layer_norm_operand(y, norm2_)));
  }

 private:
  torch::nn::LayerNorm norm1_;
  Attention attn_;
  LayerScale ls1_;
  torch::nn::LayerNorm norm2_;
  Perceptron mlp_;
  LayerScale ls2_;
};
TORCH_MODULE(TransformerBlock);

}  // namespace transfer_limits
