#pragma once

#include <cstdint>

#include "modules.h"

namespace transfer_limits {

// Supervised contrast of patches (Khosla et al., "Supervised contrastive learning", 2020, the loss "out"): a patch
// whose share of lesion voxels is above `lesion_share` is a lesion patch, every other one background. With z the
// L2-normalised features, the mean over anchors i of
//
//   -1 / |P(i)| sum over p in P(i) of log(exp(z_i z_p / t) / sum over a != i of exp(z_i z_a / t)),
//
// P(i) the other patches of i's class and t the temperature. Anchors are the patches with at least one positive, where
// both classes occur; with one class there is nothing to tell apart, and the loss and its gradient are 0.
//
//   features   [M, E]
//   share      [M], in [0, 1]: the share of each patch that is lesion
//   taken      [M], bool: the patches that there are; the others neither count nor get a gradient. At least two are
//              taken; undefined: all
//
// Nothing in it waits for the device. Throws BAD_INPUT when shapes or settings do not fit.
at::Tensor patch_contrast(const at::Tensor& features, const at::Tensor& share, double temperature,
                          double lesion_share, const at::Tensor& taken = {});

// The share of lesion in each patch of each slice: mask [N, 1, D, H, W] -> [N D, rows columns], row-major.
at::Tensor patch_shares(const at::Tensor& mask, int64_t rows, int64_t columns);

// Some patches of a batch. Where nothing may wait for the device to count lesions, K follows from the size of the batch,
// and not every place is taken.
struct PatchChoice {
  at::Tensor indices;  // [K], of patches; where a place is not taken, that of a patch whose place is
  at::Tensor taken;    // [K], bool; undefined: all are
};

// At most `limit` of share's [M] patches, so that the matrix of similarities stays small: as many of lesions as of
// background, but two of each where there are two, spread evenly over the batch; nothing is drawn. Lesions are rare:
// beside all of the background the contrast is lowest where every patch has the same features. With `may_wait`, which
// suits a CPU, there are no places that are not taken, and nothing is computed for them. Throws BAD_INPUT for a limit
// below 4 and for fewer than two patches.
PatchChoice balanced_patches(const at::Tensor& share, double lesion_share, int64_t limit, bool may_wait);

}  // namespace transfer_limits
