#pragma once

#include "layers/linear.h"
#include "modules.h"

namespace transfer_limits {

// Multi-head self-attention (Vaswani 2017) over tokens [N, T, E]: queries, keys and values from one linear layer, named
// as DINOv2 names them. LibTorch picks the kernel of the attention itself: where it can, one that never holds the T x T
// matrix.
class AttentionImpl : public torch::nn::Module {
 public:
  AttentionImpl(int64_t dim, int64_t heads)
      : heads_(heads),
        qkv_(register_module("qkv", torch::nn::Linear(dim, 3 * dim))),
        proj_(register_module("proj", torch::nn::Linear(dim, dim))) {
    for (torch::nn::Linear* layer : {&qkv_, &proj_}) {
      torch::nn::init::normal_((*layer)->weight, 0.0, 0.02);
      torch::nn::init::zeros_((*layer)->bias);
    }
  }

  at::Tensor forward(const at::Tensor& x) {
    const int64_t batch = x.size(0);
    const int64_t tokens = x.size(1);
    const int64_t dim = x.size(2);
    const at::Tensor qkv = linear(x, qkv_)
                               .reshape({batch, tokens, 3, heads_, dim / heads_})
                               .permute({2, 0, 3, 1, 4});  // [3, N, heads, T, E / heads]
    const at::Tensor y = at::scaled_dot_product_attention(qkv[0], qkv[1], qkv[2]);
    return linear(y.transpose(1, 2).reshape({batch, tokens, dim}), proj_);
  }

 private:
  int64_t heads_;
  torch::nn::Linear qkv_, proj_;
};
TORCH_MODULE(Attention);

}  // namespace transfer_limits
