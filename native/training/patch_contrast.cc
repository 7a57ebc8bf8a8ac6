#include "training/patch_contrast.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "error.h"
#include "layers/precision.h"

namespace transfer_limits {
namespace {

// `count` of `indices` [K], evenly spread.
at::Tensor evenly(const at::Tensor& indices, int64_t count) {
  const int64_t total = indices.size(0);
  if (count >= total) return indices;
  const at::Tensor places = at::arange(count, indices.options()).mul(total).floor_divide(count);
  return indices.index_select(0, places);
}

}  // namespace

at::Tensor patch_contrast(const at::Tensor& features_as_computed, const at::Tensor& share, double temperature,
                          double lesion_share) {
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
  const at::Tensor z =
      features / at::linalg_vector_norm(features, 2, {-1}, /*keepdim=*/true).clamp_min(1e-12);
  const at::Tensor self = at::eye(z.size(0), z.options()).to(at::kBool);  // [M, M]
  const at::Tensor lesion = share.gt(lesion_share);                       // [M]
  const at::Tensor same = lesion.unsqueeze(0).eq(lesion.unsqueeze(1));    // [M, M]
  const at::Tensor positive = same.logical_and(self.logical_not()).to(z.scalar_type());

  const at::Tensor similarity = at::matmul(z, z.t()) / temperature;  // [M, M]
  const at::Tensor others = similarity.masked_fill(self, -std::numeric_limits<double>::infinity());
  const at::Tensor log_share = similarity - at::logsumexp(others, {1}, /*keepdim=*/true);
  const at::Tensor positives = positive.sum(1);  // [M]
  const at::Tensor two_classes = lesion.any().logical_and(lesion.logical_not().any());
  const at::Tensor anchor = positives.gt(0).logical_and(two_classes).to(z.scalar_type());  // [M]
  const at::Tensor each = -(log_share * positive).sum(1) / positives.clamp_min(1);         // [M]
  return (each * anchor).sum() / anchor.sum().clamp_min(1);
}

at::Tensor patch_shares(const at::Tensor& mask, int64_t rows, int64_t columns) {
  require(mask.dim() == 5 && mask.size(1) == 1 && mask.numel() > 0,
          "Expected a lesion mask [N, 1, D, H, W] for the patch contrast but received ", mask.sizes());
  const at::Tensor slices = mask.ne(0).to(at::kFloat).flatten(0, 2).unsqueeze(1);  // [N D, 1, H, W]
  return at::adaptive_avg_pool2d(slices, {rows, columns}).flatten(1);              // [N D, rows columns]
}

at::Tensor balanced_patches(const at::Tensor& share, double lesion_share, int64_t limit) {
  require(limit >= 4, "Expected at least four patches a step for the patch contrast but received ", limit);
  const at::Tensor is_lesion = share.gt(lesion_share);
  const at::Tensor lesion = is_lesion.nonzero().flatten();
  const at::Tensor background = is_lesion.logical_not().nonzero().flatten();
  const int64_t of_each = std::max<int64_t>(2, std::min({limit / 2, lesion.size(0), background.size(0)}));
  return at::cat({evenly(lesion, of_each), evenly(background, of_each)});
}

}  // namespace transfer_limits
