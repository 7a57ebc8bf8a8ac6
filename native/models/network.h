#pragma once

#include <torch/torch.h>

#include <memory>
#include <vector>

#include "error.h"
#include "training/losses.h"

namespace transfer_limits {

// What an encoder makes of a volume.
struct Features {
  at::Tensor pooled;               // [N, features], after the final norm
  std::vector<at::Tensor> stages;  // the feature maps, finest first
};

// Every network of this package: one architecture a file, parameters named as the published code names them.
class Network : public torch::nn::Module {
 public:
  // The answer to `input` [N, C, D, H, W].
  virtual at::Tensor forward(const at::Tensor& input) = 0;

  // Encoder features. Specialised models have no encoder to compare.
  virtual Features embed(const at::Tensor& input) {
    throw Error("BAD_INPUT", "Expected a network with an encoder for embed but received a specialised model");
  }

  // The loss of one training step. A network with an auxiliary head adds its loss with that weight.
  virtual at::Tensor loss(const at::Tensor& input, const at::Tensor& target, const Loss& loss,
                          double auxiliary_weight) {
    return loss_value(loss, forward(input), target);
  }
};

}  // namespace transfer_limits
