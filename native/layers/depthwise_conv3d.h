#pragma once

#include "modules.h"

namespace transfer_limits {

// Depthwise convolution of a volume: every channel with its own cubic kernel of odd size, zero padding, stride 1.
class DepthwiseConv3dImpl : public torch::nn::Module {
 public:
  DepthwiseConv3dImpl(int64_t channels, int64_t kernel);

  // [N, C, D, H, W] -> [N, C, D, H, W]
  at::Tensor forward(const at::Tensor& x);

  at::Tensor weight;  // [C, 1, k, k, k]
  at::Tensor bias;    // [C]
};
TORCH_MODULE(DepthwiseConv3d);

}  // namespace transfer_limits
