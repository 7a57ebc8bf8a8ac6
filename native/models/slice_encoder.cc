#include "models/slice_encoder.h"

#include <algorithm>

#include "layers/precision.h"

namespace transfer_limits {
namespace {

int64_t next_multiple(int64_t size, int64_t factor) { return (size + factor - 1) / factor * factor; }

at::Tensor part_of_position(const at::Tensor& position, int64_t first, int64_t last) {
  return position.defined() ? position.slice(0, first, last) : at::Tensor();
}

}  // namespace

void SliceEncoder::check_slices(const at::Tensor& slices, const at::Tensor& position) const {
  require(slices.dim() == 4 && slices.size(0) > 0 && slices.size(1) == channels(), "Expected slices [N, ",
          channels(), ", H, W] for the encoder but received ", slices.sizes());
  require(slices.size(2) > 0 && slices.size(3) > 0 && slices.size(2) % patch() == 0 &&
              slices.size(3) % patch() == 0,
          "Expected a height and a width that are multiples of the patch of ", patch(), " but received ",
          slices.size(2), " x ", slices.size(3));
  if (!takes_position()) {
    require(!position.defined(), "Expected no position for an encoder without axis tokens but received one");
    return;
  }
  require(position.defined(), "Expected a position [", slices.size(0),
          ", 2] (index of the slice, number of slices) for an encoder with axis tokens but received none");
  require(position.dim() == 2 && position.size(0) == slices.size(0) && position.size(1) == 2,
          "Expected a position [", slices.size(0),
          ", 2] (index of the slice, number of slices), one row a slice, but received ", position.sizes());
}

at::Tensor SliceEncoder::on_grid(const at::Tensor& tokens, const at::Tensor& slices) const {
  return tokens.transpose(-2, -1).unflatten(-1, {slices.size(2) / patch(), slices.size(3) / patch()});
}

at::Tensor SliceEncoder::map_of(const at::Tensor& slices, const at::Tensor& position) {
  check_slices(slices, position);
  return on_grid(tokens(slices, position, 1).back().patches, slices);
}

Features SliceEncoder::embed_slices(const at::Tensor& slices, const at::Tensor& position) {
  check_slices(slices, position);
  Features features;
  features.tokens = tokens(slices, position, 1).back();
  features.pooled = in_float32(features.tokens->patches).mean(1);  // [N, E]
  return features;
}

at::Tensor SliceEncoder::with_adjacent(const at::Tensor& volume) const {
  require(volume.dim() == 5 && volume.numel() > 0, "Expected a volume [N, C, D, H, W] but received ",
          volume.sizes());
  const int64_t images = volume.size(1);
  const int64_t adjacent = channels() / images;
  require(channels() % images == 0 && adjacent % 2 == 1,
          "Expected a volume whose channels C divide the encoder's ", channels(),
          " into an odd number of adjacent slices but received ", volume.sizes());
  const int64_t reach = adjacent / 2;
  const at::Tensor padded = reach == 0 ? volume : at::replication_pad3d(volume, {0, 0, 0, 0, reach, reach});
  return padded
      .unfold(2, adjacent, 1)       // [N, C, D, H, W, adjacent]
      .permute({0, 2, 1, 5, 3, 4})  // [N, D, C, adjacent, H, W]
      .flatten(2, 3);
}

SliceEncoder::Slices SliceEncoder::slices_of(const at::Tensor& volume) const {
  at::Tensor slices = with_adjacent(volume).flatten(0, 1);
  const int64_t depth = volume.size(2);
  const int64_t height = volume.size(3);
  const int64_t width = volume.size(4);
  const int64_t full_height = next_multiple(height, patch());
  const int64_t full_width = next_multiple(width, patch());
  if (full_height != height || full_width != width) {
    slices = at::upsample_bilinear2d(slices, {full_height, full_width}, /*align_corners=*/false);
  }

  at::Tensor position;
  if (takes_position()) {
    const at::Tensor index = at::arange(depth, volume.options());
    position =
        at::stack({index, at::full_like(index, double(depth))}, 1).repeat({volume.size(0), 1});  // [N D, 2]
  }
  return {slices, position};
}

VolumeTokens SliceEncoder::patch_tokens(const at::Tensor& volume) {
  const Slices slices = slices_of(volume);
  return {tokens(slices.images, slices.position, 1).back().patches.flatten(0, 1),
          slices.images.size(2) / patch(), slices.images.size(3) / patch()};
}

Features SliceEncoder::encode(const at::Tensor& volume) {
  const Slices slices = slices_of(volume);
  const at::Tensor kept =
      in_groups_of_slices(is_training(), slices.images.size(0), [this, &slices](int64_t first, int64_t last) {
        std::vector<at::Tensor> patches;
        for (const SliceTokens& depth :
             tokens(slices.images.slice(0, first, last), part_of_position(slices.position, first, last),
                    depths_kept_)) {
          patches.push_back(depth.patches);
        }
        return at::stack(patches, 1);
      });  // [N D, depths, P, E]
  Features features;
  for (const at::Tensor& grid : on_grid(kept, slices.images).unbind(1)) {
    features.stages.push_back(grid.unflatten(0, {volume.size(0), volume.size(2)}));  // [N, D, E, h, w]
  }
  features.pooled = in_float32(features.stages.back()).mean({1, 3, 4});  // [N, E]
  return features;
}

Features SliceEncoder::encode_along(const at::Tensor& volume) {
  const Slices slices = slices_of(volume);
  const at::Tensor found =
      in_groups_of_slices(is_training(), slices.images.size(0), [this, &slices](int64_t first, int64_t last) {
        std::vector<at::Tensor> both;
        for (const SliceTokens& depth : tokens(slices.images.slice(0, first, last),
                                               part_of_position(slices.position, first, last), kDepths)) {
          both.push_back(at::cat({depth.cls.unsqueeze(1), depth.patches}, 1));
        }
        return at::stack(both, 1);
      });  // [N D, depths, 1 + P, E]
  const std::vector<int64_t> size = {volume.size(0), volume.size(2)};
  Features features;
  for (int64_t depth = 0; depth < kDepths; ++depth) {
    const at::Tensor all = found.select(1, depth);                              // [N D, 1 + P, E]
    const at::Tensor cls = in_float32(all.select(1, 0)).unflatten(0, size);     // [N, D, E]
    const at::Tensor patches = all.narrow(1, 1, all.size(1) - 1).contiguous();  // [N D, P, E]
    const at::Tensor by_slice = in_float32(patches).unflatten(0, size);         // [N, D, P, E]
    features.along.push_back({by_slice.mean({1, 2}), by_slice.amax({1, 2}), cls.mean(1)});
    if (depth < kDepths - depths_kept_) continue;
    features.stages.push_back(on_grid(patches, slices.images).unflatten(0, size));  // [N, D, E, h, w]
  }
  features.pooled = in_float32(features.stages.back()).mean({1, 3, 4});  // [N, E]
  return features;
}

}  // namespace transfer_limits
