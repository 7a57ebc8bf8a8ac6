#pragma once

#include <torch/torch.h>

#include <memory>
#include <optional>
#include <vector>

#include "error.h"
#include "layers/intensity_bins.h"
#include "training/losses.h"

namespace transfer_limits {

// The tokens that a vision transformer makes of slices, after the final norm.
struct SliceTokens {
  at::Tensor cls;      // [N, features]
  at::Tensor patches;  // [N, patches, features], row-major
  at::Tensor axis;     // [N, axis tokens, features]
};

// What an encoder makes of volumes, or of slices.
struct Features {
  at::Tensor pooled;                  // [N, features], after the final norm
  std::vector<at::Tensor> stages;     // the feature maps of a convolutional encoder, finest first
  std::optional<SliceTokens> tokens;  // where slices were embedded
};

// Every network of this package: one architecture a file, parameters named as the published code names them.
class Network : public torch::nn::Module {
 public:
  // The output for `input` [N, C, D, H, W].
  virtual at::Tensor forward(const at::Tensor& input) = 0;

  // What the network answers with: forward's output, or where that holds the logits of intensity bins, the expected
  // intensity.
  at::Tensor answer(const at::Tensor& input) { return answer_from(forward(input)); }
  at::Tensor answer_slices(const at::Tensor& slices, const at::Tensor& position) {
    return answer_from(forward_slices(slices, position));
  }

  void set_bins(const IntensityBins& bins) { bins_ = bins; }

  // Encoder features. Specialised models have no encoder to compare.
  virtual Features embed(const at::Tensor& input) {
    throw Error("BAD_INPUT", "Expected a network with an encoder for embed but received a specialised model");
  }

  // As forward and embed, for slices [N, C, H, W] with their position [N, 2] (index of the slice, number of slices),
  // undefined where none was given. Only encoders that go slice by slice have them.
  virtual at::Tensor forward_slices(const at::Tensor& slices, const at::Tensor& position) {
    throw Error("BAD_INPUT",
                "Expected an input [N, C, D, H, W] for a network of volumes but received slices");
  }
  virtual Features embed_slices(const at::Tensor& slices, const at::Tensor& position) {
    throw Error("BAD_INPUT",
                "Expected an input [N, C, D, H, W] for an encoder of volumes but received slices");
  }

  // The contrastive head's answer [M, prototypes] to features [M, features].
  virtual at::Tensor project(const at::Tensor& features) {
    throw Error("BAD_INPUT", "Expected a network with the head contrastive for project but received another");
  }

  // The loss of one training step. A network with an auxiliary head adds its loss with that weight.
  virtual at::Tensor loss(const at::Tensor& input, const at::Tensor& target, const Loss& loss,
                          double auxiliary_weight) {
    return loss_value(loss, answer(input), target);
  }

 protected:
  at::Tensor answer_from(const at::Tensor& output) const {
    return bins_ ? expected_intensity(output, *bins_) : output;
  }

 private:
  std::optional<IntensityBins> bins_;
};

}  // namespace transfer_limits
