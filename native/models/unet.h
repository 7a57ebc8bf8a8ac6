#pragma once

#include <vector>

#include "layers/unetr_blocks.h"
#include "models/network.h"
#include "models/settings.h"

namespace transfer_limits {

struct UNetSpecification {
  int64_t channels = 2;
  int64_t outputs = 1;
  int64_t features = 32;
  int64_t levels = 4;
  bool doubles_depth = false;
};

// What a U-Net's settings say, and those of networks that are built on one. Throws BAD_INPUT.
UNetSpecification read_unet_specification(const Settings& model);

// A 3D U-Net (Ronneberger 2015, Çiçek 2016): a residual block a level, max pooling by 2, transposed convolutions back.
// Spatial sizes are padded by replication to what the levels need. Where it doubles the depth, the answer is the
// input's first channel, each slice twice, plus what the network adds: the same contract as the subpixel head.
class UNet : public Network {
 public:
  explicit UNet(const UNetSpecification& specification);

  at::Tensor forward(const at::Tensor& input) override;

 protected:
  // What happens to the coarsest level [N, C, d, h, w] before the way back.
  virtual at::Tensor at_coarsest(const at::Tensor& x) { return x; }

 private:
  UNetSpecification specification_;
  std::vector<ResidualBlock> down_;
  std::vector<UpBlock> up_;
  torch::nn::Conv3d out_ = nullptr;
};

}  // namespace transfer_limits
