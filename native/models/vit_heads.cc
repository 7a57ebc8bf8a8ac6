#include "models/vit_heads.h"

#include "layers/patch_conv3d.h"

namespace transfer_limits {

VitClassifierHeadImpl::VitClassifierHeadImpl(int64_t features, const ClassifierSpecification& head)
    // Named by position, as in a sequence where GELU takes the odd numbers.
    : layer1_(register_module("0", torch::nn::Linear(features, head.bottleneck))),
      layer2_(register_module("2", torch::nn::Linear(head.bottleneck, head.bottleneck))),
      layer3_(register_module("4", torch::nn::Linear(head.bottleneck, head.classes))) {}

at::Tensor VitClassifierHeadImpl::forward(const at::Tensor& x) {
  return layer3_(at::gelu(layer2_(at::gelu(layer1_(x)))));
}

VitSubpixelHeadImpl::VitSubpixelHeadImpl(int64_t features, const UnetrSpecification& head)
    : upsample_(register_module("upsample", ConvHead(features, head.feature_size, head.feature_size))),
      refine_(register_module("refine", ResidualBlock(head.feature_size + 1, head.feature_size))),
      out_(register_module(
          "out", torch::nn::Conv3d(torch::nn::Conv3dOptions(head.feature_size, 2 * head.outputs, 1)))) {}

at::Tensor VitSubpixelHeadImpl::forward(const at::Tensor& features, const at::Tensor& volume) {
  const at::Tensor image = volume.narrow(1, 0, 1);  // [N, 1, D, H, W]
  const at::Tensor seen = at::cat({features, image}, 1).contiguous(at::MemoryFormat::ChannelsLast3d);
  return shuffle_into_depth(patch_conv3d(out_, refine_(seen))) + image.repeat_interleave(2, /*dim=*/2);
}

}  // namespace transfer_limits
