#include "training/batch_over_ranks.h"

#include "layers/batch_part.h"
#include "layers/precision.h"
#include "training/patch_contrast.h"

namespace transfer_limits {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;
using Sum = std::shared_ptr<const std::function<void(at::Tensor&)>>;

// The part of a batch that a rank sees; null: there are no ranks.
const BatchPart* part_of_rank() {
  const BatchPart* part = InBatchPart::present();
  return part != nullptr && part->sum_over_ranks ? part : nullptr;
}

// Every rank computes the same loss from the same sum, so that the gradient of a rank's own term is that of the sum.
class SumOverRanks : public torch::autograd::Function<SumOverRanks> {
 public:
  static at::Tensor forward(AutogradContext* /*context*/, const at::Tensor& own, const Sum& sum) {
    at::Tensor all = own.clone(at::MemoryFormat::Contiguous);
    (*sum)(all);
    return all;
  }
  static tensor_list backward(AutogradContext* /*context*/, tensor_list gradients) {
    return {gradients[0], {}};
  }
};

}  // namespace

at::Tensor sum_over_ranks(const at::Tensor& own) {
  const BatchPart* part = part_of_rank();
  return part == nullptr ? own : SumOverRanks::apply(own, part->sum_over_ranks);
}

double share_of_batch(int64_t samples) {
  const BatchPart* part = part_of_rank();
  if (part == nullptr) return 1.0;
  return part->counts ? double(samples) / double(part->total) : 0.0;
}

at::Tensor contrast_of_batch(const at::Tensor& share, int64_t rows_each,
                             const std::function<at::Tensor(const at::Tensor&)>& features, const Loss& loss) {
  const auto contrast = [&loss](const at::Tensor& of_chosen, const at::Tensor& shares,
                                const PatchChoice& chosen) {
    return patch_contrast(of_chosen, shares.index_select(0, chosen.indices), loss.temperature,
                          loss.lesion_share, chosen.taken);
  };
  const auto choose = [&loss](const at::Tensor& shares) {
    return balanced_patches(shares, loss.lesion_share, loss.patches, shares.is_cpu());
  };
  const BatchPart* part = part_of_rank();
  if (part == nullptr) {
    const at::Tensor shares = share.flatten();
    const PatchChoice chosen = choose(shares);
    return contrast(features(chosen.indices), shares, chosen);
  }
  const int64_t views = share.size(0), rows = share.size(1), patches = share.size(2);
  const int64_t start = part->start * rows_each, all_rows = part->total * rows_each;
  at::Tensor all = at::zeros({views, all_rows, patches}, share.options());
  if (part->counts) all.narrow(1, start, rows).copy_(share);
  (*part->sum_over_ranks)(all);
  const at::Tensor shares = all.flatten();  // [views all_rows patches]
  const PatchChoice chosen = choose(shares);

  const at::Tensor row = chosen.indices.floor_divide(patches).remainder(all_rows) - start;  // [K], among own
  const at::Tensor view = chosen.indices.floor_divide(patches * all_rows);                  // [K]
  at::Tensor is_own = row.ge(0).logical_and(row.lt(rows));                                  // [K]
  if (!part->counts) is_own = at::zeros_like(is_own);
  // Places of other ranks' patches hold any own one, times 0, so that every rank's graph reaches all parameters.
  const at::Tensor own = ((view * rows + row) * patches + chosen.indices.remainder(patches)).mul(is_own);
  const at::Tensor of_own = in_float32(features(own)) * is_own.unsqueeze(1);  // [K, E]
  return contrast(SumOverRanks::apply(of_own, part->sum_over_ranks), shares, chosen);
}

}  // namespace transfer_limits
