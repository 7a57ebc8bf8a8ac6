#pragma once

#include "modules.h"

namespace transfer_limits {

// Moves pairs of channels into depth: [N, 2 C, D, H, W] -> [N, C, 2 D, H, W] (Shi 2016, along one axis).
at::Tensor shuffle_into_depth(const at::Tensor& x);

// Two 3x3x3 convolutions with instance norm (no affine) and leaky ReLU, and a residual, projected where channels differ.
class ResidualBlockImpl : public torch::nn::Module {
 public:
  ResidualBlockImpl(int64_t in, int64_t out);
  at::Tensor forward(const at::Tensor& x);

 private:
  torch::nn::Conv3d conv1_ = nullptr, conv2_ = nullptr, conv3_ = nullptr;
};
TORCH_MODULE(ResidualBlock);

// Doubles the size by a transposed convolution, joins the skip connection's channels, and refines.
class UpBlockImpl : public torch::nn::Module {
 public:
  UpBlockImpl(int64_t in, int64_t out);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& skip);

 private:
  torch::nn::ConvTranspose3d up_ = nullptr;
  ResidualBlock refine_ = nullptr;
};
TORCH_MODULE(UpBlock);

// A transposed 2x2x2 convolution of stride 2 without bias, registered as `<name>.conv` in `parent`.
torch::nn::ConvTranspose3d register_up(torch::nn::Module& parent, const std::string& name, int64_t in,
                                       int64_t out);

}  // namespace transfer_limits
