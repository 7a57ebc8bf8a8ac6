#pragma once

#include <vector>

#include "models/network.h"

namespace transfer_limits {

struct DiffusionUNetSpecification {
  int64_t channels = 3;  // the last one is the time
  int64_t outputs = 1;
  int64_t features = 64;
  int64_t levels = 4;
};

// A residual block of the diffusion U-Net: group norm, SiLU and a 3x3x3 convolution, twice; the embedding of the time
// is added to every voxel between them.
class TimedBlockImpl : public torch::nn::Module {
 public:
  TimedBlockImpl(int64_t in, int64_t out, int64_t time);
  // x [N, in, D, H, W] and the time's embedding [N, time] -> [N, out, D, H, W].
  at::Tensor forward(const at::Tensor& x, const at::Tensor& time);

 private:
  torch::nn::GroupNorm norm1_ = nullptr, norm2_ = nullptr;
  torch::nn::Conv3d conv1_ = nullptr, conv2_ = nullptr, shortcut_ = nullptr;
  torch::nn::Linear time_ = nullptr;
};
TORCH_MODULE(TimedBlock);

// The U-Net of denoising diffusion (Ho 2020) in 3D, which predicts noise: one block a level on either way and two at
// the coarsest, without self-attention, for which volumes have too many positions. The last channel of the input is
// constant and holds the time step t / T in [0, 1]; the others are the image, padded by replication.
class DiffusionUNet : public Network {
 public:
  explicit DiffusionUNet(const DiffusionUNetSpecification& specification);

  at::Tensor forward(const at::Tensor& input) override;

 private:
  DiffusionUNetSpecification specification_;
  torch::nn::Linear time1_ = nullptr, time2_ = nullptr;
  torch::nn::Conv3d in_ = nullptr;
  std::vector<TimedBlock> down_;
  std::vector<torch::nn::Conv3d> shrink_;
  TimedBlock middle_ = nullptr;
  std::vector<torch::nn::Conv3d> enlarge_;
  std::vector<TimedBlock> up_;
  torch::nn::GroupNorm norm_ = nullptr;
  torch::nn::Conv3d out_ = nullptr;
};

}  // namespace transfer_limits
