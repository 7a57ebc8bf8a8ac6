#include "models/diffusion_unet.h"

#include <cmath>
#include <numeric>
#include <string>

#include "layers/channels_last.h"
#include "layers/conv3d.h"
#include "layers/group_norm.h"
#include "layers/padding.h"
#include "layers/patch_conv3d.h"
#include "models/families.h"

namespace transfer_limits {
namespace {

// 32 groups as published, fewer where they would hold less than four channels: a group of a single one forgets its mean.
torch::nn::GroupNorm norm_over_groups(int64_t channels) {
  int64_t groups = std::gcd(channels, int64_t(32));
  while (groups > 1 && channels / groups < 4) groups /= 2;
  return torch::nn::GroupNorm(torch::nn::GroupNormOptions(groups, channels));
}

at::Tensor normalised(torch::nn::GroupNorm& norm, const at::Tensor& x) {
  return group_norm(x, norm->options.num_groups(), norm->weight, norm->bias, AfterNorm::kSilu);
}

torch::nn::Conv3d convolution(int64_t in, int64_t out, int64_t kernel) {
  return torch::nn::Conv3d(torch::nn::Conv3dOptions(in, out, kernel).padding(kernel / 2).bias(false));
}

// Sines and cosines of `steps` [N] at geometrically spaced frequencies from 1 to 1 / 10,000: [N, size] (Vaswani 2017).
at::Tensor sinusoids(const at::Tensor& steps, int64_t size) {
  const int64_t half = size / 2;
  const at::Tensor index = at::arange(half, steps.options());
  const at::Tensor frequencies =
      at::exp(index * (-std::log(10000.0) / double(std::max<int64_t>(half - 1, 1))));
  const at::Tensor angles = steps.unsqueeze(1) * frequencies;  // [N, size / 2]
  return at::cat({at::sin(angles), at::cos(angles)}, 1);
}

ModelMaker read_diffusion_unet(const Settings& model) {
  DiffusionUNetSpecification result;
  result.channels = model.integer("channels", 2, 4096);  // the last one is the time
  result.outputs = model.integer("outputs", 1, 4096);
  result.features = model.integer("features", 2, 4096);
  require(result.features % 2 == 0,
          "Expected an even number for the diffusion U-Net's features but received ", result.features);
  result.levels = model.integer("levels", 2, 8);
  // It predicts noise, not intensities.
  return model_maker<DiffusionUNet>(result, &DiffusionUNetSpecification::outputs, /*takes_bins=*/false);
}

const ModelFamily diffusion_unet_family("diffusion-unet-3d", read_diffusion_unet);

}  // namespace

TimedBlockImpl::TimedBlockImpl(int64_t in, int64_t out, int64_t time) {
  norm1_ = register_module("norm1", norm_over_groups(in));
  conv1_ = register_module("conv1", convolution(in, out, 3));
  time_ = register_module("time", torch::nn::Linear(time, out));
  norm2_ = register_module("norm2", norm_over_groups(out));
  conv2_ = register_module("conv2", convolution(out, out, 3));
  torch::nn::init::zeros_(conv2_->weight);  // as published: a fresh block changes nothing
  if (in != out) shortcut_ = register_module("shortcut", convolution(in, out, 1));
}

at::Tensor TimedBlockImpl::forward(const at::Tensor& x, const at::Tensor& time) {
  at::Tensor y = conv3d_same(normalised(norm1_, x), conv1_->weight);
  y = y + time_(at::silu(time)).view({y.size(0), y.size(1), 1, 1, 1});
  y = conv3d_same(normalised(norm2_, y), conv2_->weight);
  return with_plain_strides(y + (shortcut_.is_empty() ? x : patch_conv3d(shortcut_, x)));
}

DiffusionUNet::DiffusionUNet(const DiffusionUNetSpecification& specification)
    : specification_(specification) {
  const int64_t features = specification.features;
  const int64_t time = 4 * features;
  time1_ = register_module("time1", torch::nn::Linear(features, time));
  time2_ = register_module("time2", torch::nn::Linear(time, time));
  in_ = register_module("in", convolution(specification.channels - 1, features, 3));
  int64_t width = features;
  for (int64_t level = 0; level < specification.levels; ++level) {
    const std::string index = std::to_string(level);
    const int64_t out = features << level;
    if (level > 0) {
      shrink_.push_back(
          register_module("shrink" + index,
                          torch::nn::Conv3d(torch::nn::Conv3dOptions(width, width, 3).stride(2).padding(1))));
    }
    down_.push_back(register_module("down" + index, TimedBlock(width, out, time)));
    width = out;
  }
  middle_ = register_module("middle", TimedBlock(width, width, time));
  for (int64_t level = specification.levels - 2; level >= 0; --level) {
    const std::string index = std::to_string(level);
    const int64_t out = features << level;
    enlarge_.push_back(register_module("enlarge" + index, convolution(width, out, 3)));
    up_.push_back(register_module("up" + index, TimedBlock(2 * out, out, time)));
    width = out;
  }
  norm_ = register_module("norm", norm_over_groups(width));
  out_ = register_module("out", torch::nn::Conv3d(torch::nn::Conv3dOptions(width, specification.outputs, 1)));
  torch::nn::init::zeros_(out_->weight);  // as published: a fresh network predicts no noise
  torch::nn::init::zeros_(out_->bias);
}

at::Tensor DiffusionUNet::forward(const at::Tensor& input) {
  require(input.dim() == 5 && input.size(1) == specification_.channels && input.numel() > 0,
          "Expected an input [N, ", specification_.channels,
          ", D, H, W], the time t / T in its last channel, for the diffusion U-Net but received ",
          input.sizes());
  const std::array<int64_t, 3> size = {input.size(2), input.size(3), input.size(4)};
  const int64_t images = specification_.channels - 1;
  const at::Tensor steps = 1000.0 * input.select(1, images).flatten(1).select(1, 0);            // [N]
  const at::Tensor time = time2_(at::silu(time1_(sinusoids(steps, specification_.features))));  // [N, time]

  at::Tensor x =
      channels_last(pad_to_multiple(input.narrow(1, 0, images), int64_t(1) << (specification_.levels - 1)));
  x = conv3d_same(x, in_->weight);
  std::vector<at::Tensor> skips;
  for (size_t level = 0; level < down_.size(); ++level) {
    if (level > 0) x = padded(shrink_[level - 1], x);  // [N, C, D / 2, H / 2, W / 2]
    x = down_[level](x, time);
    skips.push_back(x);
  }
  x = middle_(x, time);
  for (size_t index = 0; index < up_.size(); ++index) {
    const at::Tensor& skip = skips[skips.size() - 2 - index];
    x = at::upsample_nearest3d(x, {skip.size(2), skip.size(3), skip.size(4)});
    x = conv3d_same(x, enlarge_[index]->weight);
    x = up_[index](at::cat({x, skip}, 1), time);
  }
  return crop_to(patch_conv3d(out_, normalised(norm_, x)), size);
}

}  // namespace transfer_limits
