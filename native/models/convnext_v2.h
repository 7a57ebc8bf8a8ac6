#pragma once

#include <torch/torch.h>

#include <vector>

#include "layers/channel_norm.h"
#include "layers/depthwise_conv3d.h"
#include "layers/grn.h"
#include "models/network.h"
#include "models/specification.h"

namespace transfer_limits {

// One block of ConvNeXt V2 (Woo 2023) in 3D: depthwise 7x7x7, norm, expansion by 4, GELU, GRN, projection, residual.
class ConvNeXtBlockImpl : public torch::nn::Module {
 public:
  ConvNeXtBlockImpl(int64_t dim, double drop_path);

  // x: [N, C, D, H, W]. `keep`, where defined, is [N, 1, D, H, W] with 1 at visible voxels: masked voxels are zeroed
  // after every operation that could fill them, so that the visible ones come out as from a sparse convolution.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& keep = {});

 private:
  DepthwiseConv3d dwconv_;
  at::Tensor norm_weight_, norm_bias_;
  torch::nn::Linear pwconv1_, pwconv2_;
  GlobalResponseNorm grn_;
  double drop_path_;
};
TORCH_MODULE(ConvNeXtBlock);

// The 3D ConvNeXt V2 encoder as ProFound publishes it: stem 4x4x4, downsampling by 2, 2 and 1 between four stages,
// final layer norm on the mean over all voxels. Total stride 16: an axis shorter than that is padded to 16 by
// replication, and voxels beyond the last whole patch are not seen, as in the published code.
class ConvNeXtV2 : public Network {
 public:
  explicit ConvNeXtV2(const ConvNeXtSpecification& specification);

  // Pooled features [N, dims[3]].
  at::Tensor forward(const at::Tensor& input) override { return decode(embed(input), input); }
  // A network of an encoder alone answers with its features.
  at::Tensor decode(const Features& features, const at::Tensor& input) override { return features.pooled; }

  // The four stages. `keep`, where defined, is [N, 1, D / 16, H / 16, W / 16] with 1 at visible patches.
  std::vector<at::Tensor> stages(const at::Tensor& input, const at::Tensor& keep = {});

  // The final norm, at every voxel of a feature map [N, dims[3], D, H, W].
  at::Tensor norm_features(const at::Tensor& features);

  const ConvNeXtSpecification& specification() const { return specification_; }

  static constexpr int64_t kStride = 16;

 private:
  Features encode(const at::Tensor& input) override;

  ConvNeXtSpecification specification_;
  std::array<torch::nn::Conv3d, 4> downsample_ = {nullptr, nullptr, nullptr, nullptr};
  std::array<ChannelNorm, 4> downsample_norm_ = {nullptr, nullptr, nullptr, nullptr};
  std::array<std::vector<ConvNeXtBlock>, 4> blocks_;
  torch::nn::LayerNorm norm_ = nullptr;
};

}  // namespace transfer_limits
