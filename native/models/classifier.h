#pragma once

#include "models/heads.h"
#include "models/pyramid_encoder.h"

namespace transfer_limits {

// ProFound's classifier: encoder, linear bottleneck, batch norm, ReLU, linear layer of classes.
class Classifier : public Network {
 public:
  Classifier(std::shared_ptr<PyramidEncoder> encoder, const ClassifierSpecification& head);

  // Logits [N, classes].
  at::Tensor forward(const at::Tensor& input) override { return decode(embed(input), input); }
  at::Tensor decode(const Features& features, const at::Tensor& input) override;

 private:
  Features encode(const at::Tensor& input) override { return encoder_->embed(input); }

  std::shared_ptr<PyramidEncoder> encoder_;
  torch::nn::Linear bottleneck_ = nullptr;
  torch::nn::BatchNorm1d norm_ = nullptr;
  torch::nn::Linear classes_ = nullptr;
};

}  // namespace transfer_limits
