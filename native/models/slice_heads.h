#pragma once

#include <memory>

#include "models/heads.h"
#include "models/provicnet_heads.h"
#include "models/slice_encoder.h"
#include "models/vit_heads.h"
#include "models/vit_unetr.h"

namespace transfer_limits {

// An encoder that goes slice by slice, and a head on it. The encoder's parameters are called as in the encoder alone, those of
// the head begin with `head.`, as ProViCNet publishes them.
class SliceNetwork : public Network {
 public:
  at::Tensor forward(const at::Tensor& volume) override { return decode(embed(volume), volume); }
  Features embed_slices(const at::Tensor& slices, const at::Tensor& position) override {
    return encoder_->embed_slices(slices, position);
  }
  VolumeTokens patch_tokens(const at::Tensor& volume) override { return encoder_->patch_tokens(volume); }
  int64_t slice_patch() const override { return encoder_->slice_patch(); }
  void train(bool on = true) override;

 protected:
  // `depths`: of how many of the encoder's last depths the head sees the tokens.
  explicit SliceNetwork(std::shared_ptr<SliceEncoder> encoder, int64_t depths = 1);

  // Registers the head after the first of the encoder's parts, and those: the published order.
  void register_with_encoder(const std::shared_ptr<torch::nn::Module>& head);
  SliceEncoder& encoder() { return *encoder_; }

 private:
  Features encode(const at::Tensor& volume) override { return encoder_->embed(volume); }
  Features encode_along(const at::Tensor& volume) override { return encoder_->embed_along(volume); }

  std::shared_ptr<SliceEncoder> encoder_;
};

class SliceClassifier : public SliceNetwork {
 public:
  SliceClassifier(std::shared_ptr<SliceEncoder> encoder, const ClassifierSpecification& head);

  // Logits [N, classes].
  at::Tensor decode(const Features& features, const at::Tensor& volume) override;
  at::Tensor forward_slices(const at::Tensor& slices, const at::Tensor& position) override;

 private:
  VitClassifierHead head_;
};

// The published network's decoder, slice by slice.
class SliceDense : public SliceNetwork {
 public:
  SliceDense(const std::shared_ptr<SliceEncoder>& encoder, const ConvHeadSpecification& head);

  // Logits [N, outputs, D, H, W], resized to the volume.
  at::Tensor decode(const Features& features, const at::Tensor& volume) override;
  // Logits [N, outputs, 8 H / patch, 8 W / patch].
  at::Tensor forward_slices(const at::Tensor& slices, const at::Tensor& position) override;

 protected:
  // Registers nothing yet: another head may come first.
  SliceDense(const std::shared_ptr<SliceEncoder>& encoder, ConvHead head);

  ConvHead head_;
};

// ProViCNet as it is pretrained: beside its decoder the contrastive head.
class SliceContrastive : public SliceDense {
 public:
  SliceContrastive(const std::shared_ptr<SliceEncoder>& encoder, const ContrastiveSpecification& head);

  // The contrastive head's answer [M, prototypes] to features [M, E], and what it normalises before.
  at::Tensor project(const at::Tensor& features) override;
  at::Tensor bottleneck(const at::Tensor& features) override { return contrastive_->bottleneck(features); }
  at::Tensor contrasted(const at::Tensor& tokens) override { return bottleneck(tokens); }

 private:
  ContrastiveHead contrastive_;
};

class SliceSubpixel : public SliceNetwork {
 public:
  SliceSubpixel(std::shared_ptr<SliceEncoder> encoder, const UnetrSpecification& head);

  // [N, outputs, 2 D, H, W]
  at::Tensor decode(const Features& features, const at::Tensor& volume) override;
  at::Tensor forward_slices(const at::Tensor& slices, const at::Tensor& position) override;

 private:
  VitSubpixelHead head_;
};

class SliceUnetr : public SliceNetwork {
 public:
  SliceUnetr(std::shared_ptr<SliceEncoder> encoder, const UnetrSpecification& head);

  // [N, outputs, D, H, W]
  at::Tensor decode(const Features& features, const at::Tensor& volume) override;
  at::Tensor forward_slices(const at::Tensor& slices, const at::Tensor& position) override;

 private:
  VitUnetrHead head_;
};

}  // namespace transfer_limits
