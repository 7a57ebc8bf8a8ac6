#pragma once

#include <vector>

#include "layers/channel_norm.h"
#include "models/heads.h"
#include "models/pyramid_encoder.h"

namespace transfer_limits {

// Convolution without bias, channel norm, GELU. The norm is called batch_norm for its name in published checkpoints.
class ConvNormGeluImpl : public torch::nn::Module {
 public:
  ConvNormGeluImpl(int64_t in, int64_t out, int64_t kernel);
  at::Tensor forward(const at::Tensor& x);

 private:
  torch::nn::Conv3d conv_;
  ChannelNorm norm_;
};
TORCH_MODULE(ConvNormGelu);

// UperNet (Xiao 2018) in 3D on the four stages: pyramid pooling of the deepest, a feature pyramid over all, a fused
// prediction at the finest stage, upsampled to the input; and in training a second prediction from the third stage.
class UperNet : public Network {
 public:
  UperNet(std::shared_ptr<PyramidEncoder> encoder, const UperNetSpecification& head);

  // Logits [N, outputs, D, H, W] at the input's size.
  at::Tensor forward(const at::Tensor& input) override { return decode(embed(input), input); }
  at::Tensor decode(const Features& features, const at::Tensor& input) override;
  TrainingAnswers training_answers(const at::Tensor& input, bool auxiliary) override {
    return decoded_training_answers(embed(input), input, auxiliary);
  }
  TrainingAnswers decoded_training_answers(const Features& features, const at::Tensor& input,
                                           bool auxiliary) override;

 private:
  Features encode(const at::Tensor& input) override { return encoder_->embed(input); }
  std::vector<at::Tensor> normed_stages(const Features& features, const at::Tensor& input);
  // The prediction at the finest stage: [N, outputs, D / 4, H / 4, W / 4].
  at::Tensor predict(const std::vector<at::Tensor>& stages);

  std::shared_ptr<PyramidEncoder> encoder_;
  torch::nn::Conv3d classifier_ = nullptr;
  std::vector<ConvNormGelu> pyramid_pooling_, lateral_, fpn_;
  ConvNormGelu bottleneck_ = nullptr, fpn_bottleneck_ = nullptr, auxiliary_ = nullptr;
  torch::nn::Conv3d auxiliary_classifier_ = nullptr;
  std::vector<ChannelNorm> stage_norm_;
};

}  // namespace transfer_limits
