#include "layers/unetr_blocks.h"

#include "layers/container.h"
#include "layers/conv3d.h"
#include "layers/group_norm.h"
#include "layers/patch_conv3d.h"

namespace transfer_limits {
namespace {

torch::nn::Conv3d register_conv(torch::nn::Module& parent, const std::string& name, int64_t in, int64_t out,
                                int64_t kernel) {
  auto module = parent.register_module(name, container());
  return module->register_module(
      "conv", torch::nn::Conv3d(torch::nn::Conv3dOptions(in, out, kernel).padding(kernel / 2).bias(false)));
}

}  // namespace

at::Tensor shuffle_into_depth(const at::Tensor& x) {
  const int64_t samples = x.size(0), channels = x.size(1) / 2, depth = x.size(2);
  return x.reshape({samples, channels, 2, depth, x.size(3), x.size(4)})
      .permute({0, 1, 3, 2, 4, 5})                                     // [N, C, D, 2, H, W]
      .reshape({samples, channels, 2 * depth, x.size(3), x.size(4)});  // [N, C, 2 D, H, W]
}

torch::nn::ConvTranspose3d register_up(torch::nn::Module& parent, const std::string& name, int64_t in,
                                       int64_t out) {
  auto module = parent.register_module(name, container());
  return module->register_module(
      "conv",
      torch::nn::ConvTranspose3d(torch::nn::ConvTranspose3dOptions(in, out, 2).stride(2).bias(false)));
}

ResidualBlockImpl::ResidualBlockImpl(int64_t in, int64_t out) {
  conv1_ = register_conv(*this, "conv1", in, out, 3);
  conv2_ = register_conv(*this, "conv2", out, out, 3);
  if (in != out) conv3_ = register_conv(*this, "conv3", in, out, 1);
}

at::Tensor ResidualBlockImpl::forward(const at::Tensor& x) {
  const at::Tensor y = instance_norm(conv3d_same(x, conv1_->weight), {}, {}, AfterNorm::kLeakyRelu);
  const at::Tensor skip =
      conv3_.is_empty() ? x : instance_norm(patch_conv3d(conv3_, x), {}, {}, AfterNorm::kNone);
  return instance_norm(conv3d_same(y, conv2_->weight), {}, {}, AfterNorm::kLeakyRelu, skip);
}

UpBlockImpl::UpBlockImpl(int64_t in, int64_t out)
    : up_(register_up(*this, "transp_conv", in, out)),
      refine_(register_module("conv_block", ResidualBlock(2 * out, out))) {}

at::Tensor UpBlockImpl::forward(const at::Tensor& x, const at::Tensor& skip) {
  return refine_(at::cat({spread_voxels(up_, x), skip}, 1));
}

}  // namespace transfer_limits
