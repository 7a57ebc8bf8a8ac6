#include "models/dino_vit.h"

#include <algorithm>
#include <string>

#include "layers/checkpointed.h"
#include "layers/deterministic.h"
#include "layers/precision.h"
#include "models/families.h"

namespace transfer_limits {
namespace {

torch::nn::Linear axis_layer(int64_t dim) {
  torch::nn::Linear layer(1, dim);
  torch::nn::init::normal_(layer->weight, 0.0, 0.02);
  torch::nn::init::zeros_(layer->bias);
  return layer;
}

EncoderMaker read_dino_vit(const Settings& encoder) {
  DinoVitSpecification result;
  result.channels = encoder.integer("channels", 1, 4096);
  result.patch = encoder.integer("patch", 1, 4096);
  result.embed_dim = encoder.integer("embedDim", 1, 65536);
  result.depth = encoder.integer("depth", 1, 1000);
  result.heads = encoder.integer("heads", 1, 65536);
  result.registers = encoder.integer("registers", 0, 65536);
  result.axis_tokens = encoder.integer("axisTokens", 0, 2);
  require(result.embed_dim % result.heads == 0, "Expected heads that divide the encoder's embedDim of ",
          result.embed_dim, " but received ", result.heads);
  require(result.axis_tokens != 1, "Expected 0 or 2 (slice position, number of slices) for ",
          encoder.named("axisTokens"), " but received ", result.axis_tokens);
  return [result] { return std::make_shared<DinoVit>(result); };
}

const EncoderFamily dino_vit_family("dino-vit", read_dino_vit);

}  // namespace

DinoBackboneImpl::DinoBackboneImpl(const DinoVitSpecification& specification) {
  const int64_t dim = specification.embed_dim;
  cls_token_ = register_parameter("cls_token", torch::randn({1, 1, dim}) * 1e-6);
  pos_embed_ = register_parameter("pos_embed", torch::randn({1, 1 + kGrid * kGrid, dim}) * 0.02);
  if (specification.registers > 0) {
    register_tokens_ =
        register_parameter("register_tokens", torch::randn({1, specification.registers, dim}) * 1e-6);
  }
  // Stands in for masked patches in DINOv2's pretraining; here it is only kept, for published checkpoints have it.
  register_parameter("mask_token", torch::zeros({1, dim}));
  auto patch_embed = register_module("patch_embed", std::make_shared<torch::nn::Module>());
  projection_ = patch_embed->register_module(
      "proj", torch::nn::Conv2d(torch::nn::Conv2dOptions(specification.channels, dim, specification.patch)
                                    .stride(specification.patch)));
  auto blocks = register_module("blocks", std::make_shared<torch::nn::Module>());
  for (int64_t index = 0; index < specification.depth; ++index) {
    blocks_.push_back(
        blocks->register_module(std::to_string(index), TransformerBlock(dim, specification.heads)));
  }
  norm_ = register_module("norm", layer_norm_of(dim));
}

at::Tensor DinoBackboneImpl::position_embedding(int64_t rows, int64_t columns) {
  if (rows == kGrid && columns == kGrid) return pos_embed_;
  const int64_t dim = pos_embed_.size(2);
  const at::Tensor grid =
      pos_embed_.narrow(1, 1, kGrid * kGrid).reshape({1, kGrid, kGrid, dim}).permute({0, 3, 1, 2});
  const at::Tensor resized = bicubic(grid, {rows, columns});
  return at::cat({pos_embed_.narrow(1, 0, 1), resized.flatten(2).transpose(1, 2)}, 1);
}

std::vector<at::Tensor> DinoBackboneImpl::at_depths(const at::Tensor& x, const at::Tensor& extra,
                                                    int64_t count) {
  const int64_t batch = x.size(0);
  const at::Tensor patches = projection_(x);  // [N, E, H / patch, W / patch]
  const at::Tensor position = position_embedding(patches.size(2), patches.size(3));

  // Registers and extra tokens have no position.
  std::vector<at::Tensor> sequence = {(cls_token_ + position.narrow(1, 0, 1)).expand({batch, -1, -1})};
  if (register_tokens_.defined()) sequence.push_back(register_tokens_.expand({batch, -1, -1}));
  if (extra.defined()) sequence.push_back(extra);
  sequence.push_back(patches.flatten(2).transpose(1, 2) + position.narrow(1, 1, position.size(1) - 1));

  at::Tensor tokens = at::cat(sequence, 1);  // [N, T, E]
  std::vector<at::Tensor> found;
  const auto depth = static_cast<int64_t>(blocks_.size());
  for (int64_t index = 0; index < depth; ++index) {
    tokens = checkpointed_block(blocks_[index], tokens);
    // Of depths k depth / count, k from 1 to `count`, rounded up, those that end with this block.
    while (found.size() < size_t(count) &&
           (int64_t(found.size() + 1) * depth + count - 1) / count == index + 1) {
      found.push_back(layer_norm(tokens, norm_));
    }
  }
  return found;
}

DinoVit::DinoVit(const DinoVitSpecification& specification)
    : specification_(specification), backbone_(register_module("backbone", DinoBackbone(specification))) {
  if (specification.axis_tokens == 0) return;
  axis_pos_ = register_module("axis_pos", axis_layer(specification.embed_dim));
  axis_max_ = register_module("axis_max", axis_layer(specification.embed_dim));
}

at::Tensor DinoVit::axis_of(const at::Tensor& position) {
  if (specification_.axis_tokens == 0) return {};
  const WithoutAutocast exact(position.device());  // bfloat16 does not hold every whole number above 256
  return at::stack({axis_pos_(position.narrow(1, 0, 1)), axis_max_(position.narrow(1, 1, 1))},
                   1);  // [N, 2, E]
}

std::vector<SliceTokens> DinoVit::tokens(const at::Tensor& slices, const at::Tensor& position,
                                         int64_t count) {
  const int64_t before = 1 + specification_.registers;
  const int64_t axis = specification_.axis_tokens;
  std::vector<SliceTokens> result;
  for (const at::Tensor& all : backbone_->at_depths(slices, axis_of(position), count)) {  // [N, T, E]
    const int64_t patches = all.size(1) - before - axis;
    result.push_back({all.select(1, 0), all.narrow(1, before + axis, patches), all.narrow(1, before, axis)});
  }
  return result;
}

}  // namespace transfer_limits
