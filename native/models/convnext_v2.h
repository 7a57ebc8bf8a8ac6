#pragma once

#include <vector>

#include "layers/channel_norm.h"
#include "layers/depthwise_conv3d.h"
#include "layers/grn.h"
#include "models/pyramid_encoder.h"
#include "modules.h"

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

struct ConvNeXtSpecification {
  int64_t channels = 3;
  std::array<int64_t, 4> depths = {3, 3, 9, 3};
  std::array<int64_t, 4> dims = {96, 192, 384, 768};
  double drop_path = 0.0;
};

// The 3D ConvNeXt V2 encoder as ProFound publishes it: stem 4x4x4, downsampling by 2, 2 and 1 between four stages,
// final layer norm on the mean over all voxels. Total stride 16: an axis shorter than that is padded to 16 by
// replication, and voxels beyond the last whole patch are not seen, as in the published code.
class ConvNeXtV2 : public PyramidEncoder {
 public:
  explicit ConvNeXtV2(const ConvNeXtSpecification& specification);

  int64_t channels() const override { return specification_.channels; }
  int64_t stride() const override { return kStride; }
  std::array<int64_t, 4> widths() const override { return specification_.dims; }
  std::vector<at::Tensor> stages(const at::Tensor& input, const at::Tensor& keep = {}) override;
  at::Tensor norm_features(const at::Tensor& features) override;

 private:
  static constexpr int64_t kStride = 16;

  at::Tensor pool(const at::Tensor& deepest) override;

  ConvNeXtSpecification specification_;
  std::array<torch::nn::Conv3d, 4> downsample_ = {nullptr, nullptr, nullptr, nullptr};
  std::array<ChannelNorm, 4> downsample_norm_ = {nullptr, nullptr, nullptr, nullptr};
  std::array<std::vector<ConvNeXtBlock>, 4> blocks_;
  torch::nn::LayerNorm norm_ = nullptr;
};

}  // namespace transfer_limits
