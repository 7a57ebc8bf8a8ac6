#pragma once

#include <vector>

#include "layers/grid_position.h"
#include "layers/transformer_block.h"
#include "layers/unetr_blocks.h"
#include "models/network.h"
#include "models/specification.h"

namespace transfer_limits {

// TransUNet (Chen 2021) in 3D: a convolutional encoder of residual blocks, a transformer over the positions of its
// coarsest level, and a decoder that joins the finer levels back in. Padding and the doubled depth are as in UNet.
class TransUNet : public Network {
 public:
  explicit TransUNet(const TransUNetSpecification& specification);

  at::Tensor forward(const at::Tensor& input) override;

 private:
  TransUNetSpecification specification_;
  std::vector<ResidualBlock> down_;
  torch::nn::Linear embed_ = nullptr;
  GridPosition position_ = nullptr;
  std::vector<TransformerBlock> blocks_;
  torch::nn::LayerNorm norm_ = nullptr;
  ResidualBlock bridge_ = nullptr;
  std::vector<UpBlock> up_;
  torch::nn::Conv3d out_ = nullptr;
};

}  // namespace transfer_limits
