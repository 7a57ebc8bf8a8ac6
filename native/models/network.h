#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "error.h"
#include "kernels/expected_intensity.h"
#include "layers/precision.h"
#include "layers/resize.h"
#include "modules.h"

namespace transfer_limits {

// The tokens that a vision transformer makes of slices, after the final norm.
struct SliceTokens {
  at::Tensor cls;      // [N, features]
  at::Tensor patches;  // [N, patches, features], row-major
  at::Tensor axis;     // [N, axis tokens, features]
};

// What an encoder says of volumes at one of its depths, a number a feature.
struct PooledDepth {
  at::Tensor mean;     // [N, features], over all positions
  at::Tensor maximum;  // [N, features], over all positions
  at::Tensor cls;      // [N, features], the class token, over slices their mean; undefined without one
};

// What an encoder makes of volumes, or of slices.
struct Features {
  at::Tensor pooled;  // [N, features], after the final norm
  // The feature maps of a convolutional encoder, finest first; of one that goes slice by slice one map, the patch
  // tokens of each slice on their grid [N, D, features, h, w].
  std::vector<at::Tensor> stages;
  std::optional<SliceTokens> tokens;    // where slices were embedded
  std::vector<PooledDepth> along = {};  // where they were asked for, from the input on
};

// What training compares with a target: the answer, and in training a second one, of an auxiliary head that there may be.
struct TrainingAnswers {
  at::Tensor answer;
  at::Tensor auxiliary;  // undefined: none
};

// What a masked autoencoder says of a volume's patches.
struct PatchPrediction {
  at::Tensor prediction;  // [N, patch^3 * C, D / patch, H / patch, W / patch]
  at::Tensor volume;      // what was to be predicted: the input, its axes multiples of the patch
  at::Tensor hidden;      // [N, patches], not 0 where the encoder did not see the patch
  int64_t patch = 1;
};

// The tokens of a volume's slices, on their grid.
struct VolumeTokens {
  at::Tensor tokens;  // [N D rows columns, features]
  int64_t rows = 0;
  int64_t columns = 0;
};

// Every network of this package: one architecture a file, parameters named as the published code names them.
class Network : public torch::nn::Module {
 public:
  // The answer to `input` [N, C, D, H, W]: logits, intensities, or where bins are set the expected intensity.
  virtual at::Tensor forward(const at::Tensor& input) = 0;

  // The head then gives one logit a bin of intensity.
  void set_bins(const IntensityBins& bins) { bins_ = bins; }

  // Encoder features of volumes [N, C, D, H, W]. Specialised models have no encoder to compare.
  Features embed(const at::Tensor& input) {
    embedded_ += input.dim() > 0 ? input.size(0) : 0;
    return encode(input);
  }

  // The same, with what the encoder says at each of its depths.
  Features embed_along(const at::Tensor& input) {
    embedded_ += input.dim() > 0 ? input.size(0) : 0;
    return encode_along(input);
  }

  // On how many volumes the encoder has been run, for features, answers or steps of training.
  int64_t embedded() const { return embedded_; }
  // Adds those that it was run on without a call of `embed`: in steps that were recorded before.
  void count_embedded(int64_t volumes) { embedded_ += volumes; }

  // What forward answers, from the encoder's features of the input: the head alone.
  virtual at::Tensor decode(const Features& features, const at::Tensor& input) {
    throw Error("BAD_INPUT",
                "Expected a network with an encoder for decode but received a specialised model");
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
  // What that head normalises before its prototypes: [M, features] -> [M, bottleneck].
  virtual at::Tensor bottleneck(const at::Tensor& features) {
    throw Error("BAD_INPUT",
                "Expected a network with the head contrastive for bottleneck but received another");
  }
  // The edge in pixels of the patches that slices are divided into.
  virtual int64_t slice_patch() const {
    throw Error("BAD_INPUT", "Expected an encoder of slices but received one of volumes");
  }

  // What a step of training compares with its target. `auxiliary`: also what an auxiliary head answers.
  virtual TrainingAnswers training_answers(const at::Tensor& input, bool auxiliary) {
    return {forward(input), {}};
  }
  // The same from the encoder's features of the input, of which a step of training then moves the head alone.
  virtual TrainingAnswers decoded_training_answers(const Features& features, const at::Tensor& input,
                                                   bool auxiliary) {
    return {decode(features, input), {}};
  }
  // The prediction of patches where `hidden` [N, patches], in row-major order of the grid, hides some from the encoder.
  virtual PatchPrediction predict_hidden(const at::Tensor& input, const at::Tensor& hidden) {
    throw Error("BAD_INPUT",
                "Expected a network with the head masked-autoencoder to predict hidden patches but received "
                "another");
  }
  // The tokens of the patches of a volume [N, C, D, H, W], and what a contrast compares of such tokens [M, features]: what
  // the contrastive head normalises, where there is one.
  virtual VolumeTokens patch_tokens(const at::Tensor& volume) {
    throw Error("BAD_INPUT",
                "Expected an encoder that goes slice by slice for a contrast of patches but received one of "
                "volumes");
  }
  virtual at::Tensor contrasted(const at::Tensor& tokens) { return tokens; }

 protected:
  // How many feature maps the head stands on, and that they belong to the input.
  static void require_stages(const Features& features, size_t count, const at::Tensor& input) {
    require(features.stages.size() == count && features.pooled.defined() &&
                features.pooled.size(0) == input.size(0),
            "Expected the encoder's features of the input, ", count, " stages and pooled features of ",
            input.size(0), " volumes, but received ", features.stages.size(), " and pooled features of ",
            features.pooled.size(0));
  }
  virtual Features encode(const at::Tensor& input) {
    throw Error("BAD_INPUT", "Expected a network with an encoder for embed but received a specialised model");
  }
  // By default the depths are those of the feature maps [N, features, D, H, W].
  virtual Features encode_along(const at::Tensor& input) {
    Features features = encode(input);
    for (const at::Tensor& stage : features.stages) {
      const at::Tensor map = in_float32(stage);
      features.along.push_back({map.mean({2, 3, 4}), map.amax({2, 3, 4}), {}});
    }
    return features;
  }

  // What the network answers to `input`, of its head's output [N, outputs, d, h, w] and the size that the answer has.
  at::Tensor answer_at(const at::Tensor& output_as_computed, at::IntArrayRef size,
                       const at::Tensor& input) const {
    const WithoutAutocast exact(output_as_computed.device());
    const at::Tensor output = in_float32(output_as_computed);
    if (bins_) {
      const at::Tensor intensity = expected_intensity(output, *bins_, size);  // [N, 1, D, H, W]
      return adds_input() ? intensity + in_float32(input.narrow(1, 0, 1)) : intensity;
    }
    return resize_to(output, size);
  }
  at::Tensor answer_from(const at::Tensor& output, const at::Tensor& input) const {
    return answer_at(output, output.sizes().slice(2), input);
  }

  // Whether what the head gives is a difference from the input.
  bool adds_input() const { return bins_ && bins_->added_to_input; }

 private:
  std::optional<IntensityBins> bins_;
  std::atomic<int64_t> embedded_ = 0;
};

}  // namespace transfer_limits
