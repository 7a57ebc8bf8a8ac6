#pragma once

#include <torch/torch.h>

namespace transfer_limits {

// What torch::nn::functional::linear computes, with its products by kernels/linear_product.h where that is faster:
// x [..., K], weight [M, K], bias [M] -> [..., M].
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

// gelu(linear(x, weight, bias))
at::Tensor linear_gelu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

// torch::nn::Linear by the above.
class LinearImpl : public torch::nn::LinearImpl {
 public:
  using torch::nn::LinearImpl::LinearImpl;
  at::Tensor forward(const at::Tensor& x) { return linear(x, weight, bias); }
  at::Tensor forward_gelu(const at::Tensor& x) { return linear_gelu(x, weight, bias); }
};
TORCH_MODULE(Linear);

}  // namespace transfer_limits
