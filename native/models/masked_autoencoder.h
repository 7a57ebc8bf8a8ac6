#pragma once

#include "models/convnext_v2.h"

namespace transfer_limits {

// The fully convolutional masked autoencoder of ConvNeXt V2 (Woo 2023) in 3D. Masked patches are zeroed after every
// convolution of the encoder, so that visible voxels see nothing of them: what sparse convolution computes, densely.
// A light decoder, with a learnt token at masked patches, predicts each patch's voxels.
class MaskedAutoencoder : public Network {
 public:
  MaskedAutoencoder(const ConvNeXtSpecification& encoder, const MaskedAutoencoderSpecification& head);

  // Predictions of every patch with nothing masked: [N, patch^3 * C, D / patch, H / patch, W / patch].
  at::Tensor forward(const at::Tensor& input) override;
  // `target` is the mask: uint8 [N, patches], 1 = masked, patches in row-major order of the grid.
  at::Tensor loss(const at::Tensor& input, const at::Tensor& target, const Loss& loss,
                  double auxiliary_weight) override;

 private:
  Features encode(const at::Tensor& input) override { return encoder_->embed(input); }
  // volume: spatial sizes are multiples of the patch; mask: [N, 1, D / patch, H / patch, W / patch].
  at::Tensor predict(const at::Tensor& volume, const at::Tensor& mask);

  MaskedAutoencoderSpecification specification_;
  std::shared_ptr<ConvNeXtV2> encoder_;
  torch::nn::Conv3d proj_ = nullptr;
  at::Tensor mask_token_;
  std::vector<ConvNeXtBlock> decoder_;
  torch::nn::Conv3d pred_ = nullptr;
};

}  // namespace transfer_limits
