#include "training/patch_contrast.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "error.h"
#include "layers/precision.h"
#include "volumes/masks.h"

namespace transfer_limits {
namespace {

// Which of a class's patches stand in its `places` [K] where `count` of all `total` are chosen, evenly spread: ranks
// [K] and whether there is one [K]. Both numbers are tensors.
std::pair<at::Tensor, at::Tensor> evenly(const at::Tensor& places, const at::Tensor& total,
                                         const at::Tensor& count) {
  const at::Tensor own = at::minimum(count, total);
  return {places.mul(total).floor_divide(own.clamp_min(1)), places.lt(own)};
}

}  // namespace

at::Tensor patch_contrast(const at::Tensor& features_as_computed, const at::Tensor& share, double temperature,
                          double lesion_share, const at::Tensor& taken) {
  const WithoutAutocast exact(features_as_computed.device());
  const at::Tensor features = in_float32(features_as_computed);
  require(features.dim() == 2 && features.size(0) > 1 && features.is_floating_point(),
          "Expected features [M, E] of at least two patches for the patch contrast but received ",
          features.sizes());
  require(share.dim() == 1 && share.size(0) == features.size(0), "Expected ", features.size(0),
          " shares of lesion, one a patch, but received ", share.sizes());
  require(std::isfinite(temperature) && temperature > 0,
          "Expected a temperature above 0 for the patch contrast but received ", temperature);
  require(lesion_share >= 0 && lesion_share < 1, "Expected a share of lesion in [0, 1) but received ",
          lesion_share);
  require(!taken.defined() || (taken.sizes() == share.sizes() && taken.scalar_type() == at::kBool),
          "Expected whether each of ", features.size(0), " patches is taken but received another tensor");
  const at::Tensor there = taken.defined() ? taken : at::ones_like(share, at::kBool);  // [M]
  const at::Tensor z =
      features / at::linalg_vector_norm(features, 2, {-1}, /*keepdim=*/true).clamp_min(1e-12);
  const at::Tensor self = at::eye(z.size(0), z.options()).to(at::kBool);  // [M, M]
  const at::Tensor other = self.logical_not().logical_and(there);         // [M, M]
  const at::Tensor lesion = share.gt(lesion_share);                       // [M]
  const at::Tensor same = lesion.unsqueeze(0).eq(lesion.unsqueeze(1));    // [M, M]
  const at::Tensor positive = same.logical_and(other).logical_and(there.unsqueeze(1)).to(z.scalar_type());

  const at::Tensor similarity = at::matmul(z, z.t()) / temperature;  // [M, M]
  const at::Tensor others =
      similarity.masked_fill(other.logical_not(), -std::numeric_limits<double>::infinity());
  const at::Tensor log_share = similarity - at::logsumexp(others, {1}, /*keepdim=*/true);
  const at::Tensor positives = positive.sum(1);  // [M]
  const at::Tensor two_classes =
      lesion.logical_and(there).any().logical_and(lesion.logical_not().logical_and(there).any());
  const at::Tensor anchor = positives.gt(0).logical_and(two_classes).to(z.scalar_type());  // [M]
  const at::Tensor each = -(log_share * positive).sum(1) / positives.clamp_min(1);         // [M]
  return (each * anchor).sum() / anchor.sum().clamp_min(1);
}

at::Tensor patch_shares(const at::Tensor& mask, int64_t rows, int64_t columns) {
  require(mask.dim() == 5 && mask.size(1) == 1 && mask.numel() > 0,
          "Expected a lesion mask [N, 1, D, H, W] for the patch contrast but received ", mask.sizes());
  const at::Tensor slices =
      volumes::foreground(mask).to(at::kFloat).flatten(0, 2).unsqueeze(1);  // [N D, 1, H, W]
  return at::adaptive_avg_pool2d(slices, {rows, columns}).flatten(1);       // [N D, rows columns]
}

PatchChoice balanced_patches(const at::Tensor& share, double lesion_share, int64_t limit, bool may_wait) {
  require(limit >= 4, "Expected at least four patches a step for the patch contrast but received ", limit);
  const int64_t patches = share.size(0);
  require(patches >= 2, "Expected at least two patches for the patch contrast but received ", patches);
  const int64_t most = std::min(limit / 2, std::max<int64_t>(2, patches / 2));  // of a class
  const at::Tensor background = share.gt(lesion_share).logical_not();
  const at::Tensor order = at::argsort(background, /*stable=*/true, /*dim=*/0, /*descending=*/false);
  const at::Tensor backgrounds = background.sum(), lesions = patches - backgrounds;
  const at::Tensor of_each = at::minimum(lesions, backgrounds).clamp(2, most);
  const at::Tensor places = at::arange(most, order.options());
  const auto [lesion_ranks, are_lesions] = evenly(places, lesions, of_each);
  const auto [background_ranks, are_background] = evenly(places, backgrounds, of_each);
  const at::Tensor taken = at::cat({are_lesions, are_background});
  // The first in order is always chosen.
  const at::Tensor ranks = at::cat({lesion_ranks, background_ranks + lesions}).mul(taken);
  const at::Tensor indices = order.index_select(0, ranks);
  if (may_wait) return {indices.masked_select(taken), {}};
  return {indices, taken};
}

}  // namespace transfer_limits
