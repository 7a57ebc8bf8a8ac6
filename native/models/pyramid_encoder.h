#pragma once

#include <array>
#include <vector>

#include "layers/precision.h"
#include "models/network.h"

namespace transfer_limits {

// A convolutional encoder of volumes that answers with four feature maps: what UperNet, UNETR,
// the classifier and the masked autoencoder stand on, whatever the architecture.
class PyramidEncoder : public Network {
 public:
  // A network of an encoder alone answers with its pooled features [N, widths()[3]].
  at::Tensor forward(const at::Tensor& input) override { return decode(embed(input), input); }
  at::Tensor decode(const Features& features, const at::Tensor& input) override { return features.pooled; }

  virtual int64_t channels() const = 0;
  // Voxels of the input from one of the deepest stage to the next: 16 or 32. The other stages have 4, 8 and 16.
  virtual int64_t stride() const = 0;
  // Channels of the four stages, finest first.
  virtual std::array<int64_t, 4> widths() const = 0;

  // Throws BAD_INPUT, with the reason, for an encoder whose features are not maps: heads that see them cannot stand on it.
  virtual void require_maps() const {}

  // The four stages. `keep`, where defined, is [N, 1, D / 16, H / 16, W / 16] with 1 at patches that the encoder sees; the
  // input's axes are then multiples of 16.
  virtual std::vector<at::Tensor> stages(const at::Tensor& input, const at::Tensor& keep = {}) = 0;

  // The final norm, at every voxel of the deepest feature map [N, widths()[3], D, H, W]; that map, where there is none.
  virtual at::Tensor norm_features(const at::Tensor& features) { return features; }

 protected:
  Features encode(const at::Tensor& input) override {
    Features features;
    features.stages = stages(input);
    features.pooled = pool(features.stages.back());
    return features;
  }
  // The features of volumes, from the deepest map.
  virtual at::Tensor pool(const at::Tensor& deepest) { return in_float32(deepest).mean({2, 3, 4}); }
};

}  // namespace transfer_limits
