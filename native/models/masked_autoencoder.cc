#include "models/masked_autoencoder.h"

#include <string>

#include "layers/checkpointed.h"
#include "layers/padding.h"
#include "layers/patch_conv3d.h"
#include "layers/resize.h"

namespace transfer_limits {
namespace {

torch::nn::Conv3d drawn_pointwise(int64_t in, int64_t out) {
  torch::nn::Conv3d layer(torch::nn::Conv3dOptions(in, out, 1));
  torch::nn::init::normal_(layer->weight, 0.0, 0.02);
  torch::nn::init::zeros_(layer->bias);
  return layer;
}

}  // namespace

MaskedAutoencoder::MaskedAutoencoder(std::shared_ptr<PyramidEncoder> encoder,
                                     const MaskedAutoencoderSpecification& head)
    : specification_(head), encoder_(register_module("encoder", std::move(encoder))) {
  const auto dims = encoder_->widths();
  const int64_t features = encoder_->stride() > kPatch ? dims[2] + dims[3] : dims[3];
  proj_ = register_module("proj", drawn_pointwise(features, head.decoder_dim));
  mask_token_ = register_parameter("mask_token", 0.02 * torch::randn({1, head.decoder_dim, 1, 1, 1}));
  auto decoder = register_module("decoder", std::make_shared<torch::nn::Module>());
  for (int64_t block = 0; block < head.decoder_depth; ++block) {
    decoder_.push_back(decoder->register_module(std::to_string(block), ConvNeXtBlock(head.decoder_dim, 0.0)));
  }
  const int64_t voxels = head.patch * head.patch * head.patch * encoder_->channels();
  pred_ = register_module("pred", drawn_pointwise(head.decoder_dim, voxels));
}

at::Tensor MaskedAutoencoder::on_patches(const at::Tensor& volume, const at::Tensor& keep) {
  const std::vector<at::Tensor> stages = encoder_->stages(volume, keep);
  const at::IntArrayRef grid = keep.sizes().slice(2);
  at::Tensor deepest = resize_to(stages[3], grid);
  if (encoder_->stride() <= kPatch) return deepest;
  return at::cat({resize_to(stages[2], grid), deepest}, 1);
}

at::Tensor MaskedAutoencoder::predict(const at::Tensor& volume, const at::Tensor& mask) {
  at::Tensor x = patch_conv3d(proj_, on_patches(volume, 1.0 - mask));  // [N, dim, D / 16, H / 16, W / 16]
  x = x * (1.0 - mask) + mask_token_ * mask;
  for (auto& block : decoder_) x = checkpointed_block(block, x, at::Tensor());
  return patch_conv3d(pred_, x);  // [N, patch^3 * C, D / 16, H / 16, W / 16]
}

at::Tensor MaskedAutoencoder::forward(const at::Tensor& input) {
  const at::Tensor volume = pad_to_multiple(input, specification_.patch);
  const int64_t patch = specification_.patch;
  return predict(volume, at::zeros({volume.size(0), 1, volume.size(2) / patch, volume.size(3) / patch,
                                    volume.size(4) / patch},
                                   volume.options()));
}

TrainingAnswers MaskedAutoencoder::training_answers(const at::Tensor& input, bool auxiliary) {
  throw Error("BAD_INPUT",
              "Expected the loss masked-autoencoder for a masked autoencoder but received another");
}

PatchPrediction MaskedAutoencoder::predict_hidden(const at::Tensor& input, const at::Tensor& hidden) {
  const int64_t patch = specification_.patch;
  const at::Tensor volume = pad_to_multiple(input, patch);
  const std::vector<int64_t> grid = {volume.size(0), 1, volume.size(2) / patch, volume.size(3) / patch,
                                     volume.size(4) / patch};
  require(hidden.dim() == 2 && hidden.size(0) == grid[0] && hidden.size(1) == grid[2] * grid[3] * grid[4],
          "Expected a mask [", grid[0], ", ", grid[2] * grid[3] * grid[4], "], one value a patch of ", patch,
          " voxels, but received ", hidden.sizes());
  const at::Tensor mask = hidden.to(volume.scalar_type());
  return {predict(volume, mask.reshape(grid)), volume, mask, patch};
}

}  // namespace transfer_limits
