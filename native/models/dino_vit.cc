#include "models/dino_vit.h"

#include <algorithm>
#include <string>

#include "layers/checkpointed.h"
#include "layers/deterministic.h"
#include "layers/precision.h"
#include "training/patch_contrast.h"

namespace transfer_limits {
namespace {

// Slices of a volume that go through the network at once where no gradient is kept: enough to fill the device, few
// enough that a volume's activations fit.
constexpr int64_t kSlicesAtOnce = 16;

int64_t next_multiple(int64_t size, int64_t factor) { return (size + factor - 1) / factor * factor; }

torch::nn::Linear axis_layer(int64_t dim) {
  torch::nn::Linear layer(1, dim);
  torch::nn::init::normal_(layer->weight, 0.0, 0.02);
  torch::nn::init::zeros_(layer->bias);
  return layer;
}

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

DinoVit::DinoVit(const DinoVitSpecification& specification, const HeadSpecification& head)
    : specification_(specification), backbone_(specification) {
  // The encoder's weights are drawn first, so that they don't depend on the head; the order of registration is that of
  // the published network.
  const int64_t dim = specification.embed_dim;
  if (specification.axis_tokens > 0) {
    axis_pos_ = axis_layer(dim);
    axis_max_ = axis_layer(dim);
  }
  if (const auto* conv = std::get_if<ConvHeadSpecification>(&head)) {
    head_ = ConvHead(dim, conv->outputs, conv->width);
  } else if (const auto* contrastive = std::get_if<ContrastiveSpecification>(&head)) {
    head_ = ConvHead(dim, contrastive->segmentation.outputs);
    contrastive_ = ContrastiveHead(dim, *contrastive);
  } else if (const auto* classifier = std::get_if<ClassifierSpecification>(&head)) {
    classifier_ = VitClassifierHead(dim, *classifier);
  } else if (const auto* unetr = std::get_if<UnetrSpecification>(&head)) {
    if (unetr->doubles_depth) {
      subpixel_ = VitSubpixelHead(dim, *unetr);
    } else {
      unetr_ = VitUnetrHead(dim, specification.channels, specification.patch, *unetr);
    }
  } else if (!std::holds_alternative<std::monostate>(head)) {
    throw Error(
        "BAD_INPUT",
        "Expected the head classifier, subpixel, unetr, conv1 or contrastive for an encoder of the family "
        "dino-vit but received one that stands on a convnext-v2-3d");
  }

  if (contrastive_) register_module("CL_Head", contrastive_);
  register_module("backbone", backbone_);
  if (head_) register_module("head", head_);
  if (classifier_) register_module("head", classifier_);
  if (subpixel_) register_module("head", subpixel_);
  if (unetr_) register_module("head", unetr_);
  if (axis_pos_) {
    register_module("axis_pos", axis_pos_);
    register_module("axis_max", axis_max_);
  }
}

at::Tensor DinoVit::axis_of(const at::Tensor& position) {
  if (specification_.axis_tokens == 0) return {};
  const WithoutAutocast exact(position.device());  // bfloat16 does not hold every whole number above 256
  return at::stack({axis_pos_(position.narrow(1, 0, 1)), axis_max_(position.narrow(1, 1, 1))},
                   1);  // [N, 2, E]
}

DinoVit::Tokens DinoVit::tokens(const at::Tensor& slices, const at::Tensor& position) {
  const int64_t axis_tokens = specification_.axis_tokens;
  const at::Tensor all = backbone_->forward(slices, axis_of(position));  // [N, T, E]
  const int64_t before = 1 + specification_.registers;
  return {all.select(1, 0), all.narrow(1, before, axis_tokens),
          all.narrow(1, before + axis_tokens, all.size(1) - before - axis_tokens)};
}

at::Tensor DinoVit::patch_tokens(const at::Tensor& slices, const at::Tensor& position, int64_t count) {
  const int64_t patch = specification_.patch;
  const int64_t patches = (slices.size(2) / patch) * (slices.size(3) / patch);
  std::vector<at::Tensor> found;
  for (const at::Tensor& all : backbone_->at_depths(slices, axis_of(position), count)) {
    found.push_back(all.narrow(1, all.size(1) - patches, patches));
  }
  return at::stack(found, 1);
}

at::Tensor DinoVit::tokens_along(const at::Tensor& slices, const at::Tensor& position, int64_t count) {
  const int64_t patch = specification_.patch;
  const int64_t patches = (slices.size(2) / patch) * (slices.size(3) / patch);
  std::vector<at::Tensor> found;
  for (const at::Tensor& all : backbone_->at_depths(slices, axis_of(position), count)) {
    found.push_back(at::cat({all.narrow(1, 0, 1), all.narrow(1, all.size(1) - patches, patches)}, 1));
  }
  return at::stack(found, 1);
}

at::Tensor DinoVit::on_grid(const at::Tensor& tokens, const at::Tensor& slices) const {
  const int64_t patch = specification_.patch;
  return tokens.transpose(-2, -1).unflatten(-1, {slices.size(2) / patch, slices.size(3) / patch});
}

at::Tensor DinoVit::maps(const at::Tensor& grid) {
  return subpixel_ ? subpixel_->features_of(grid) : head_(grid);
}

namespace {

void check_slices(const DinoVitSpecification& specification, const at::Tensor& slices,
                  const at::Tensor& position) {
  const int64_t patch = specification.patch;
  require(slices.dim() == 4 && slices.size(0) > 0 && slices.size(1) == specification.channels,
          "Expected slices [N, ", specification.channels, ", H, W] for the encoder but received ",
          slices.sizes());
  require(
      slices.size(2) > 0 && slices.size(3) > 0 && slices.size(2) % patch == 0 && slices.size(3) % patch == 0,
      "Expected a height and a width that are multiples of the patch of ", patch, " but received ",
      slices.size(2), " x ", slices.size(3));
  if (specification.axis_tokens == 0) {
    require(!position.defined(), "Expected no position for an encoder without axis tokens but received one");
    return;
  }
  require(position.defined(), "Expected a position [", slices.size(0),
          ", 2] (index of the slice, number of slices) for an encoder with axis tokens but received none");
  require(position.dim() == 2 && position.size(0) == slices.size(0) && position.size(1) == 2,
          "Expected a position [", slices.size(0),
          ", 2] (index of the slice, number of slices), one row a slice, but received ", position.sizes());
}

}  // namespace

at::Tensor DinoVit::forward_slices(const at::Tensor& slices, const at::Tensor& position) {
  require(!subpixel_ && !unetr_, "Expected a volume [N, C, D, H, W] for the ",
          subpixel_ ? "subpixel" : "unetr", " head but received slices");
  check_slices(specification_, slices, position);
  if (head_) {
    require(!adds_input(),
            "Expected a volume [N, C, D, H, W] for an answer that is added to the input but received slices");
    const at::Tensor grid = on_grid(patch_tokens(slices, position, 1).squeeze(1), slices);  // [N, E, h, w]
    return answer_from(maps(grid).unsqueeze(2), slices.unsqueeze(2)).squeeze(2);  // as volumes of one slice
  }
  const at::Tensor pooled = in_float32(tokens(slices, position).patches).mean(1);  // [N, E]
  return classifier_ ? classifier_(pooled) : pooled;
}

Features DinoVit::embed_slices(const at::Tensor& slices, const at::Tensor& position) {
  check_slices(specification_, slices, position);
  const Tokens all = tokens(slices, position);
  Features features;
  features.pooled = in_float32(all.patches).mean(1);  // [N, E]
  features.tokens = SliceTokens{all.cls, all.patches, all.axis};
  return features;
}

at::Tensor DinoVit::with_adjacent(const at::Tensor& volume) const {
  const int64_t channels = specification_.channels;
  require(volume.dim() == 5 && volume.numel() > 0, "Expected a volume [N, C, D, H, W] but received ",
          volume.sizes());
  const int64_t images = volume.size(1);
  const int64_t adjacent = channels / images;
  require(channels % images == 0 && adjacent % 2 == 1,
          "Expected a volume whose channels C divide the encoder's ", channels,
          " into an odd number of adjacent slices but received ", volume.sizes());
  const int64_t reach = adjacent / 2;
  const at::Tensor padded = reach == 0 ? volume : at::replication_pad3d(volume, {0, 0, 0, 0, reach, reach});
  return padded
      .unfold(2, adjacent, 1)       // [N, C, D, H, W, adjacent]
      .permute({0, 2, 1, 5, 3, 4})  // [N, D, C, adjacent, H, W]
      .flatten(2, 3);
}

DinoVit::Slices DinoVit::slices_of(const at::Tensor& volume) const {
  at::Tensor slices = with_adjacent(volume).flatten(0, 1);
  const int64_t depth = volume.size(2);
  const int64_t height = volume.size(3);
  const int64_t width = volume.size(4);
  const int64_t full_height = next_multiple(height, specification_.patch);
  const int64_t full_width = next_multiple(width, specification_.patch);
  if (full_height != height || full_width != width) {
    slices = at::upsample_bilinear2d(slices, {full_height, full_width}, /*align_corners=*/false);
  }

  at::Tensor position;
  if (specification_.axis_tokens > 0) {
    const at::Tensor index = at::arange(depth, volume.options());
    position =
        at::stack({index, at::full_like(index, double(depth))}, 1).repeat({volume.size(0), 1});  // [N D, 2]
  }
  return {slices, position};
}

template <typename Part>
at::Tensor DinoVit::in_groups(int64_t total, const Part& part) const {
  // With a gradient every activation is kept anyway, and batch norm should see all slices of the batch.
  const bool at_once = is_training() || at::GradMode::is_enabled() || total <= kSlicesAtOnce;
  if (at_once) return part(0, total);
  std::vector<at::Tensor> parts;
  for (int64_t start = 0; start < total; start += kSlicesAtOnce) {
    parts.push_back(part(start, std::min(total, start + kSlicesAtOnce)));
  }
  return at::cat(parts, 0);
}

Features DinoVit::encode(const at::Tensor& volume) {
  const Slices slices = slices_of(volume);
  const at::Tensor tokens = in_groups(slices.images.size(0), [this, &slices](int64_t first, int64_t last) {
    const at::Tensor position =
        slices.position.defined() ? slices.position.slice(0, first, last) : at::Tensor();
    return patch_tokens(slices.images.slice(0, first, last), position, depths_seen());
  });  // [N D, depths, P, E]
  Features features;
  for (const at::Tensor& grid : on_grid(tokens, slices.images).unbind(1)) {
    features.stages.push_back(grid.unflatten(0, {volume.size(0), volume.size(2)}));  // [N, D, E, h, w]
  }
  features.pooled = in_float32(features.stages.back()).mean({1, 3, 4});  // [N, E]
  return features;
}

Features DinoVit::encode_along(const at::Tensor& volume) {
  constexpr auto kDepths = int64_t(VitUnetrHeadImpl::kDepths);
  const Slices slices = slices_of(volume);
  const at::Tensor tokens = in_groups(slices.images.size(0), [this, &slices](int64_t first, int64_t last) {
    const at::Tensor position =
        slices.position.defined() ? slices.position.slice(0, first, last) : at::Tensor();
    return tokens_along(slices.images.slice(0, first, last), position, kDepths);
  });  // [N D, depths, 1 + P, E]
  const std::vector<int64_t> size = {volume.size(0), volume.size(2)};
  Features features;
  for (int64_t depth = 0; depth < kDepths; ++depth) {
    const at::Tensor all = tokens.select(1, depth);                             // [N D, 1 + P, E]
    const at::Tensor cls = in_float32(all.select(1, 0)).unflatten(0, size);     // [N, D, E]
    const at::Tensor patches = all.narrow(1, 1, all.size(1) - 1).contiguous();  // [N D, P, E]
    const at::Tensor by_slice = in_float32(patches).unflatten(0, size);         // [N, D, P, E]
    features.along.push_back({by_slice.mean({1, 2}), by_slice.amax({1, 2}), cls.mean(1)});
    if (depth < kDepths - depths_seen()) continue;  // the head sees the last ones
    features.stages.push_back(on_grid(patches, slices.images).unflatten(0, size));  // [N, D, E, h, w]
  }
  features.pooled = in_float32(features.stages.back()).mean({1, 3, 4});  // [N, E]
  return features;
}

at::Tensor DinoVit::decode(const Features& features, const at::Tensor& volume) {
  if (classifier_) return classifier_(features.pooled);
  if (!head_ && !subpixel_ && !unetr_) return features.pooled;
  require_stages(features, depths_seen(), volume);
  if (unetr_) return answer_from(unetr_(features.stages, with_adjacent(volume).movedim(2, 1)), volume);
  const at::Tensor grid = features.stages[0].flatten(0, 1);  // [N D, E, h, w]
  const at::Tensor stacked =
      in_groups(grid.size(0),
                [this, &grid](int64_t first, int64_t last) { return maps(grid.slice(0, first, last)); })
          .unflatten(0, {volume.size(0), volume.size(2)})  // [N, D, outputs, 8 h, 8 w]
          .movedim(1, 2);                                  // [N, outputs, D, 8 h, 8 w]
  const auto size = volume.sizes().slice(2);
  if (!subpixel_) return answer_at(stacked, size, volume);  // [N, outputs, D, H, W]
  const at::Tensor features_of_voxels = trilinear(stacked, size);
  return answer_from(subpixel_(features_of_voxels, volume), volume);
}

at::Tensor DinoVit::bottleneck(const at::Tensor& features) {
  return contrastive_ ? contrastive_->bottleneck(features) : Network::bottleneck(features);
}

at::Tensor DinoVit::project(const at::Tensor& features) {
  if (!contrastive_) return Network::project(features);
  require(features.dim() == 2 && features.size(1) == specification_.embed_dim, "Expected features [M, ",
          specification_.embed_dim, "] for the contrastive head but received ", features.sizes());
  return contrastive_(features);
}

at::Tensor DinoVit::loss(const at::Tensor& input, const at::Tensor& target, const Loss& loss,
                         double auxiliary_weight) {
  if (loss.kind != Loss::Kind::kPatchContrast) {
    return Network::loss(input, target, loss, auxiliary_weight);
  }
  const Slices slices = slices_of(input);
  require(target.dim() == 5 && target.size(0) == input.size(0) && target.size(1) == 1 &&
              target.sizes().slice(2) == input.sizes().slice(2),
          "Expected a lesion mask [N, 1, D, H, W] of the volume's ", input.sizes(), " but received ",
          target.sizes());
  const int64_t patch = specification_.patch;
  const at::Tensor share =
      patch_shares(target, slices.images.size(2) / patch, slices.images.size(3) / patch).flatten();
  const PatchChoice chosen = balanced_patches(share, loss.lesion_share, loss.patches, share.is_cpu());
  const at::Tensor patches = tokens(slices.images, slices.position).patches.flatten(0, 1);  // [N D P, E]
  const at::Tensor features = patches.index_select(0, chosen.indices);                      // [M, E]
  return patch_contrast(contrastive_ ? contrastive_->bottleneck(features) : features,
                        share.index_select(0, chosen.indices), loss.temperature, loss.lesion_share,
                        chosen.taken);
}

}  // namespace transfer_limits
