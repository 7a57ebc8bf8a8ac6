#pragma once

#include <vector>

#include "layers/transformer_block.h"
#include "models/slice_encoder.h"
#include "modules.h"

namespace transfer_limits {

struct DinoVitSpecification {
  int64_t channels = 3;
  int64_t patch = 14;
  int64_t embed_dim = 384;
  int64_t depth = 12;
  int64_t heads = 6;
  int64_t registers = 4;
  int64_t axis_tokens = 2;  // 0 or 2
};

// The vision transformer of DINOv2 (Oquab 2024) with registers (Darcet 2024): patches, a class token, register tokens.
class DinoBackboneImpl : public torch::nn::Module {
 public:
  explicit DinoBackboneImpl(const DinoVitSpecification& specification);

  // Tokens after the final norm, in the order class, registers, `extra` [N, X, E], patches in row-major order:
  // [N, 1 + registers + X + (H / patch) (W / patch), E]. x: [N, C, H, W], H and W multiples of the patch.
  // After each of `count` blocks at equal distances, the last of them the last block; a block is named more than once where
  // the transformer has fewer.
  std::vector<at::Tensor> at_depths(const at::Tensor& x, const at::Tensor& extra, int64_t count);

  // Edge of the grid of patches that the position embedding is stored for: 518 pixels in patches of 14.
  static constexpr int64_t kGrid = 37;

 private:
  // The position embedding [1, 1 + rows columns, E], resized from the stored grid.
  at::Tensor position_embedding(int64_t rows, int64_t columns);

  at::Tensor cls_token_, pos_embed_, register_tokens_;
  torch::nn::Conv2d projection_ = nullptr;
  std::vector<TransformerBlock> blocks_;
  torch::nn::LayerNorm norm_ = nullptr;
};
TORCH_MODULE(DinoBackbone);

// ProViCNet (Lee 2025): that transformer over slices, with two further tokens that say where the slice lies: linear in the
// slice's index and in the number of slices.
class DinoVit : public SliceEncoder {
 public:
  explicit DinoVit(const DinoVitSpecification& specification);

  int64_t channels() const override { return specification_.channels; }
  int64_t width() const override { return specification_.embed_dim; }
  int64_t patch() const override { return specification_.patch; }
  bool takes_position() const override { return specification_.axis_tokens > 0; }

 private:
  std::vector<SliceTokens> tokens(const at::Tensor& slices, const at::Tensor& position,
                                  int64_t count) override;
  // The two axis tokens [N, 2, E] of positions; undefined without.
  at::Tensor axis_of(const at::Tensor& position);

  DinoVitSpecification specification_;
  DinoBackbone backbone_ = nullptr;
  torch::nn::Linear axis_pos_ = nullptr, axis_max_ = nullptr;
};

}  // namespace transfer_limits
