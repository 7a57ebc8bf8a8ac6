#pragma once

#include "models/convnext_v2.h"
#include "models/heads.h"
#include "models/pyramid_encoder.h"

namespace transfer_limits {

// The fully convolutional masked autoencoder of ConvNeXt V2 (Woo 2023) in 3D: the encoder sees no masked patch, and a
// light decoder, with a learnt token in their place, predicts each patch's voxels. How masked patches are hidden is the
// encoder's. One whose deepest stage is coarser than the patches gives the decoder that stage, enlarged, beside the third.
class MaskedAutoencoder : public Network {
 public:
  MaskedAutoencoder(std::shared_ptr<PyramidEncoder> encoder, const MaskedAutoencoderSpecification& head);

  // Predictions of every patch with nothing masked: [N, patch^3 * C, D / patch, H / patch, W / patch].
  at::Tensor forward(const at::Tensor& input) override;
  // It learns from hidden patches alone. Throws BAD_INPUT.
  TrainingAnswers training_answers(const at::Tensor& input, bool auxiliary) override;
  PatchPrediction predict_hidden(const at::Tensor& input, const at::Tensor& hidden) override;

  // Edge of a patch in voxels: the stride of every encoder's third stage.
  static constexpr int64_t kPatch = 16;

 private:
  // The encoder's features of the visible patches, on the grid of patches.
  at::Tensor on_patches(const at::Tensor& volume, const at::Tensor& keep);
  Features encode(const at::Tensor& input) override { return encoder_->embed(input); }
  // volume: spatial sizes are multiples of the patch; mask: [N, 1, D / patch, H / patch, W / patch].
  at::Tensor predict(const at::Tensor& volume, const at::Tensor& mask);

  MaskedAutoencoderSpecification specification_;
  std::shared_ptr<PyramidEncoder> encoder_;
  torch::nn::Conv3d proj_ = nullptr;
  at::Tensor mask_token_;
  std::vector<ConvNeXtBlock> decoder_;
  torch::nn::Conv3d pred_ = nullptr;
};

}  // namespace transfer_limits
