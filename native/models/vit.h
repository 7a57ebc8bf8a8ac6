#pragma once

#include <array>
#include <vector>

#include "layers/grid_position.h"
#include "layers/transformer_block.h"
#include "models/network.h"

namespace transfer_limits {

struct VitSpecification {
  int64_t channels = 2;
  int64_t outputs = 1;
  std::array<int64_t, 3> patch = {8, 16, 16};  // depth, height, width
  int64_t embed_dim = 768;
  int64_t depth = 12;
  int64_t heads = 12;
};

// A vision transformer (Dosovitskiy 2021) over 3D patches that reconstructs every patch of the answer from its token by
// one linear layer. The volume is padded by replication to whole patches. The answer is the input's first channel plus
// what the network adds, for an image that resembles that channel is what its tasks ask for.
class Vit : public Network {
 public:
  explicit Vit(const VitSpecification& specification);

  at::Tensor forward(const at::Tensor& input) override;

 private:
  VitSpecification specification_;
  torch::nn::Linear patch_embed_;
  GridPosition position_;
  std::vector<TransformerBlock> blocks_;
  torch::nn::LayerNorm norm_ = nullptr;
  torch::nn::Linear reconstruct_ = nullptr;
};

}  // namespace transfer_limits
