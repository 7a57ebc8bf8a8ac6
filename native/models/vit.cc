#include "models/vit.h"

#include <string>

#include "layers/checkpointed.h"
#include "layers/linear.h"
#include "layers/padding.h"
#include "models/families.h"

namespace transfer_limits {
namespace {

int64_t voxels(const VitSpecification& specification) {
  return specification.patch[0] * specification.patch[1] * specification.patch[2];
}

torch::nn::Linear small_linear(int64_t in, int64_t out) {
  torch::nn::Linear layer(in, out);
  torch::nn::init::normal_(layer->weight, 0.0, 0.02);
  torch::nn::init::zeros_(layer->bias);
  return layer;
}

ModelMaker read_vit(const Settings& model) {
  VitSpecification result;
  result.channels = model.integer("channels", 1, 4096);
  result.outputs = model.integer("outputs", 1, 4096);
  result.patch = model.integers<3>("patch", 1, 256);
  result.embed_dim = model.integer("embedDim", 1, 65536);
  result.depth = model.integer("depth", 1, 1000);
  result.heads = model.integer("heads", 1, 65536);
  require(result.embed_dim % result.heads == 0,
          "Expected heads that divide the vision transformer's embedDim of ", result.embed_dim,
          " but received ", result.heads);
  return model_maker<Vit>(result, &VitSpecification::outputs);
}

const ModelFamily vit_family("vit-3d", read_vit);

}  // namespace

Vit::Vit(const VitSpecification& specification)
    : specification_(specification),
      patch_embed_(register_module(
          "patch_embed",
          torch::nn::Linear(specification.channels * voxels(specification), specification.embed_dim))),
      position_(register_module("position", GridPosition(specification.embed_dim))) {
  for (int64_t index = 0; index < specification.depth; ++index) {
    blocks_.push_back(register_module("block" + std::to_string(index),
                                      TransformerBlock(specification.embed_dim, specification.heads)));
  }
  norm_ = register_module("norm", layer_norm_of(specification.embed_dim));
  reconstruct_ = register_module(
      "reconstruct", small_linear(specification.embed_dim, specification.outputs * voxels(specification)));
}

at::Tensor Vit::forward(const at::Tensor& input) {
  require(input.dim() == 5 && input.size(1) == specification_.channels && input.numel() > 0,
          "Expected an input [N, ", specification_.channels,
          ", D, H, W] for the vision transformer but received ", input.sizes());
  const auto [depth, height, width] = specification_.patch;
  const int64_t samples = input.size(0);
  const int64_t rows = (input.size(2) + depth - 1) / depth;
  const int64_t columns = (input.size(3) + height - 1) / height;
  const int64_t files = (input.size(4) + width - 1) / width;

  at::Tensor x = pad_to(input, {rows * depth, columns * height, files * width});
  x = x.reshape({samples, specification_.channels, rows, depth, columns, height, files, width})
          .permute({0, 2, 4, 6, 1, 3, 5, 7})  // [N, d, h, w, C, depth, height, width]
          .flatten(4);                        // [N, d, h, w, C voxels]
  at::Tensor tokens = position_(linear(x, patch_embed_).movedim(-1, 1));  // [N, d h w, E]
  for (auto& block : blocks_) tokens = checkpointed_block(block, tokens);

  at::Tensor answer =
      linear(layer_norm_operand(tokens, norm_), reconstruct_)  // [N, d h w, outputs voxels]
          .reshape({samples, rows, columns, files, specification_.outputs, depth, height, width})
          .permute({0, 4, 1, 5, 2, 6, 3, 7})  // [N, outputs, d, depth, h, height, w, width]
          .reshape({samples, specification_.outputs, rows * depth, columns * height, files * width});
  answer = crop_to(answer, {input.size(2), input.size(3), input.size(4)});
  return answer_from(answer + input.narrow(1, 0, 1), input);
}

}  // namespace transfer_limits
