#pragma once

#include <vector>

#include "layers/grid_position.h"
#include "layers/transformer_block.h"
#include "models/unet.h"

namespace transfer_limits {

struct TransUNetSpecification : UNetSpecification {
  int64_t depth = 12;
  int64_t heads = 8;
};

// TransUNet (Chen 2021) in 3D: a U-Net with a transformer over the positions of its coarsest level.
class TransUNet : public UNet {
 public:
  explicit TransUNet(const TransUNetSpecification& specification);

 protected:
  at::Tensor at_coarsest(const at::Tensor& x) override;

 private:
  torch::nn::Linear embed_ = nullptr;
  GridPosition position_ = nullptr;
  std::vector<TransformerBlock> blocks_;
  torch::nn::LayerNorm norm_ = nullptr;
  ResidualBlock bridge_ = nullptr;
};

}  // namespace transfer_limits
