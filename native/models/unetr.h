#pragma once

#include "layers/channel_norm.h"
#include "layers/unetr_blocks.h"
#include "models/heads.h"
#include "models/pyramid_encoder.h"

namespace transfer_limits {

// UNETR (Hatamizadeh 2022) on the four stages, with the blocks and names of MONAI's implementation, as ProFound uses
// it; spatial sizes are padded to a multiple of 16 by replication, and the answer is cropped back.
// A deepest stage of stride 32 is first enlarged to the third's, of stride 16.
// As the subpixel head it predicts two slices for each: the answer is the input's first channel, each slice twice,
// plus what the decoder adds.
class Unetr : public Network {
 public:
  Unetr(std::shared_ptr<PyramidEncoder> encoder, const UnetrSpecification& head);

  // [N, outputs, D, H, W], or [N, outputs, 2 D, H, W] from the subpixel head.
  at::Tensor forward(const at::Tensor& input) override { return decode(embed(input), input); }
  at::Tensor decode(const Features& features, const at::Tensor& input) override;

 private:
  Features encode(const at::Tensor& input) override;
  // The decoder's output [N, outputs, D, H, W] for a volume whose axes are multiples of 16.
  at::Tensor predict(const std::vector<at::Tensor>& stages, const at::Tensor& volume);

  bool doubles_depth_;
  std::shared_ptr<PyramidEncoder> encoder_;
  std::array<ChannelNorm, 3> norm_ = {nullptr, nullptr, nullptr};
  ResidualBlock skip1_ = nullptr;  // the input at full size
  std::array<torch::nn::ConvTranspose3d, 3> skip_ = {nullptr, nullptr, nullptr};
  std::array<UpBlock, 4> up_ = {nullptr, nullptr, nullptr, nullptr};  // deepest first
  torch::nn::Conv3d out_ = nullptr;
};

}  // namespace transfer_limits
