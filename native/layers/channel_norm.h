#pragma once

#include "layers/layer_norm.h"
#include "modules.h"

namespace transfer_limits {

// Layer norm over the channels of a volume [N, C, D, H, W] at every voxel (ConvNeXt's "channels first" norm).
// Where the memory is channels-last, moving the axis is free and the norm reads each voxel's channels in one run.
class ChannelNormImpl : public torch::nn::Module {
 public:
  explicit ChannelNormImpl(int64_t channels)
      : weight(register_parameter("weight", torch::ones({channels}))),
        bias(register_parameter("bias", torch::zeros({channels}))) {}

  at::Tensor forward(const at::Tensor& x) {
    const at::Tensor y = x.movedim(1, -1);                      // [N, D, H, W, C]
    return layer_norm_operand(y, weight, bias).movedim(-1, 1);  // [N, C, D, H, W]
  }

  at::Tensor weight;
  at::Tensor bias;
};
TORCH_MODULE(ChannelNorm);

}  // namespace transfer_limits
