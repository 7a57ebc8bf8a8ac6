#include "models/classifier.h"

#include "layers/batch_norm.h"

namespace transfer_limits {

Classifier::Classifier(std::shared_ptr<PyramidEncoder> encoder, const ClassifierSpecification& head)
    : encoder_(register_module("encoder", std::move(encoder))) {
  // Named by position, as in the published head: 0 linear, 1 norm, (2 ReLU,) 3 linear.
  auto layers = register_module("head", std::make_shared<torch::nn::Module>());
  bottleneck_ = layers->register_module("0", torch::nn::Linear(encoder_->widths()[3], head.bottleneck));
  norm_ = layers->register_module("1", torch::nn::BatchNorm1d(head.bottleneck));
  classes_ = layers->register_module("3", torch::nn::Linear(head.bottleneck, head.classes));
}

at::Tensor Classifier::decode(const Features& features, const at::Tensor& input) {
  require(!is_training() || samples_of_norms(input) > 1,
          "Expected at least 2 samples a batch for training a classifier, whose batch norm needs them, but "
          "received ",
          input.size(0));
  return classes_(at::relu(batch_norm(norm_, bottleneck_(features.pooled))));
}

}  // namespace transfer_limits
