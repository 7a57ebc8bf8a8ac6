#pragma once

#include <vector>

#include "layers/transformer_block.h"
#include "models/network.h"
#include "models/provicnet_heads.h"
#include "models/specification.h"
#include "models/vit_heads.h"
#include "models/vit_unetr.h"
#include "modules.h"

namespace transfer_limits {

// The vision transformer of DINOv2 (Oquab 2024) with registers (Darcet 2024): patches, a class token, register tokens.
class DinoBackboneImpl : public torch::nn::Module {
 public:
  explicit DinoBackboneImpl(const DinoVitSpecification& specification);

  // Tokens after the final norm, in the order class, registers, `extra` [N, X, E], patches in row-major order:
  // [N, 1 + registers + X + (H / patch) (W / patch), E]. x: [N, C, H, W], H and W multiples of the patch.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& extra) { return at_depths(x, extra, 1).back(); }

  // The same tokens after each of `count` blocks at equal distances, the last of them the last block, each after the
  // final norm; a block is named more than once where the transformer has fewer.
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

// ProViCNet (Lee 2025): that transformer over slices, whose channels hold adjacent slices, with two further tokens that
// say where the slice lies: linear in the slice's index and in the number of slices. Alone, or with the published
// network's heads (`conv1`, and beside it the contrastive one), or with a classifier, the subpixel head or UNETR.
//
// A slice's features are its patch tokens' mean; a volume is taken slice by slice, and its features are the mean over
// patch tokens and slices.
class DinoVit : public Network {
 public:
  // Throws BAD_INPUT for a head that stands on another family of encoders.
  explicit DinoVit(const DinoVitSpecification& specification, const HeadSpecification& head = {});

  // Slices [N, channels, H, W] with position [N, 2]: logits [N, outputs, 8 H / patch, 8 W / patch]; a classifier's
  // [N, classes]; or, without a head, the pooled features [N, E]. The subpixel head and UNETR need a volume.
  at::Tensor forward_slices(const at::Tensor& slices, const at::Tensor& position) override;
  Features embed_slices(const at::Tensor& slices, const at::Tensor& position) override;

  // A volume [N, C, D, H, W], each slice seen with channels / C adjacent ones, of which those beyond the volume repeat
  // its first or last. Slices whose size is no multiple of the patch are enlarged to the next one. Logits
  // [N, outputs, D, H, W], slice by slice, resized to the input; a classifier's [N, classes]; the subpixel head's
  // [N, outputs, 2 D, H, W]; or, without a head, the pooled features [N, E].
  at::Tensor forward(const at::Tensor& volume) override { return decode(embed(volume), volume); }
  at::Tensor decode(const Features& features, const at::Tensor& volume) override;

  // The contrastive head's answer [M, prototypes] to features [M, E].
  at::Tensor project(const at::Tensor& features) override;
  at::Tensor bottleneck(const at::Tensor& features) override;
  int64_t slice_patch() const override { return specification_.patch; }

  // kPatchContrast contrasts the patches of a volume's slices by the lesion mask `target` [N, 1, D, H, W]: their
  // projections where there is a contrastive head, else their tokens.
  at::Tensor loss(const at::Tensor& input, const at::Tensor& target, const Loss& loss,
                  double auxiliary_weight) override;

 private:
  Features encode(const at::Tensor& volume) override;
  // The depths are a quarter, a half, three quarters and all of the blocks, each after the final norm.
  Features encode_along(const at::Tensor& volume) override;

  struct Tokens {
    at::Tensor cls;      // [N, E]
    at::Tensor axis;     // [N, axis tokens, E]
    at::Tensor patches;  // [N, P, E]
  };
  struct Slices {
    at::Tensor images;    // [N D, channels, H', W'], sizes multiples of the patch
    at::Tensor position;  // [N D, 2]: index and number of slices; undefined without axis tokens
  };

  Tokens tokens(const at::Tensor& slices, const at::Tensor& position);
  // The two axis tokens [N, 2, E] of positions; undefined without.
  at::Tensor axis_of(const at::Tensor& position);
  // The class token and the patch tokens of slices [N, channels, H, W] after `count` of the blocks, shallowest first:
  // [N, count, 1 + P, E].
  at::Tensor tokens_along(const at::Tensor& slices, const at::Tensor& position, int64_t count);
  // The patch tokens alone: [N, count, P, E].
  at::Tensor patch_tokens(const at::Tensor& slices, const at::Tensor& position, int64_t count);
  // Such tokens [.., P, E] where they lie in the slices: [.., E, H / patch, W / patch].
  at::Tensor on_grid(const at::Tensor& tokens, const at::Tensor& slices) const;
  // Of how many depths the head sees the tokens.
  int64_t depths_seen() const { return unetr_ ? int64_t(VitUnetrHeadImpl::kDepths) : 1; }
  // The dense head's maps of such a grid: [N, outputs, 8 H / patch, 8 W / patch].
  at::Tensor maps(const at::Tensor& grid);
  // The slices of a volume [N, C, D, H, W], each with its adjacent ones, at their own size: [N, D, channels, H, W].
  at::Tensor with_adjacent(const at::Tensor& volume) const;
  Slices slices_of(const at::Tensor& volume) const;
  // What `part(first, last)` makes of all slices, as many at once as should go through the network together.
  template <typename Part>
  at::Tensor in_groups(int64_t total, const Part& part) const;

  DinoVitSpecification specification_;
  DinoBackbone backbone_ = nullptr;
  torch::nn::Linear axis_pos_ = nullptr, axis_max_ = nullptr;
  ConvHead head_ = nullptr;
  ContrastiveHead contrastive_ = nullptr;
  VitClassifierHead classifier_ = nullptr;
  VitSubpixelHead subpixel_ = nullptr;
  VitUnetrHead unetr_ = nullptr;
};

}  // namespace transfer_limits
