#pragma once

#include <vector>

#include "models/network.h"

namespace transfer_limits {

// A transformer that goes slice by slice: its channels hold adjacent slices, and it makes of each patch of a slice a token.
// What the heads of models/slice_heads.h stand on, whatever the architecture.
//
// A slice's features are its patch tokens' mean; a volume is taken slice by slice, and its features are the mean over
// patch tokens and slices.
class SliceEncoder : public Network {
 public:
  // A network of an encoder alone answers with its pooled features [N, width()].
  at::Tensor forward(const at::Tensor& volume) override { return decode(embed(volume), volume); }
  at::Tensor decode(const Features& features, const at::Tensor& volume) override { return features.pooled; }
  // Slices [N, channels(), H, W], sizes multiples of the patch, with position [N, 2] where it takes one.
  at::Tensor forward_slices(const at::Tensor& slices, const at::Tensor& position) override {
    return embed_slices(slices, position).pooled;
  }
  Features embed_slices(const at::Tensor& slices, const at::Tensor& position) override;
  VolumeTokens patch_tokens(const at::Tensor& volume) override;
  int64_t slice_patch() const override { return patch(); }

  virtual int64_t channels() const = 0;
  // Features of a token.
  virtual int64_t width() const = 0;
  // Edge of a patch in pixels.
  virtual int64_t patch() const = 0;
  // Whether it is told where a slice lies: its index and the number of slices.
  virtual bool takes_position() const = 0;

  // The maps in a volume's features are those of its last `count` depths, the deepest last, in place of the last one.
  void keep_depths(int64_t count) { depths_kept_ = count; }
  // The slices of a volume [N, C, D, H, W], each with its adjacent ones, of which those beyond the volume repeat its first
  // or last, at their own size: [N, D, channels(), H, W].
  at::Tensor with_adjacent(const at::Tensor& volume) const;
  // The patch tokens of slices on their grid [N, width(), H / patch, W / patch].
  at::Tensor map_of(const at::Tensor& slices, const at::Tensor& position);

  // How many depths an encoder's features are looked at.
  static constexpr int64_t kDepths = 4;

 protected:
  // Tokens after `count` depths at equal distances, the last of them that of the last block, shallowest first, each after the
  // final norm. Slices and position are as they should be.
  virtual std::vector<SliceTokens> tokens(const at::Tensor& slices, const at::Tensor& position,
                                          int64_t count) = 0;

 private:
  struct Slices {
    at::Tensor images;    // [N D, channels, H', W'], sizes multiples of the patch
    at::Tensor position;  // [N D, 2]: index and number of slices; undefined where it takes none
  };

  Features encode(const at::Tensor& volume) override;
  // The depths are a quarter, a half, three quarters and all of the blocks.
  Features encode_along(const at::Tensor& volume) override;
  void check_slices(const at::Tensor& slices, const at::Tensor& position) const;
  // Those whose size is no multiple of the patch are enlarged to the next one.
  Slices slices_of(const at::Tensor& volume) const;
  // Such tokens [.., P, E] where they lie in the slices: [.., E, H / patch, W / patch].
  at::Tensor on_grid(const at::Tensor& tokens, const at::Tensor& slices) const;

  int64_t depths_kept_ = 1;
};

// What `part(first, last)` makes of all slices: of as many at once as should go through the network together.
template <typename Part>
at::Tensor in_groups_of_slices(bool training, int64_t total, const Part& part) {
  // Where no gradient is kept: enough to fill the device, few enough that a volume's activations fit.
  constexpr int64_t kSlicesAtOnce = 16;
  // With a gradient every activation is kept anyway, and batch norm should see all slices of the batch.
  if (training || at::GradMode::is_enabled() || total <= kSlicesAtOnce) return part(0, total);
  std::vector<at::Tensor> parts;
  for (int64_t start = 0; start < total; start += kSlicesAtOnce) {
    parts.push_back(part(start, std::min(total, start + kSlicesAtOnce)));
  }
  return at::cat(parts, 0);
}

}  // namespace transfer_limits
