#pragma once

#include "layers/batch_part.h"
#include "modules.h"

namespace transfer_limits {

// `norm(x)` of one of LibTorch's batch norms. Where several ranks train together, one of them may have a single value of a
// channel, which LibTorch's module would refuse without knowing of the others'.
template <typename Norm>
at::Tensor batch_norm(Norm& norm, const at::Tensor& x) {
  const BatchPart* part = InBatchPart::present();
  if (part == nullptr || !part->sum_over_ranks || !norm->is_training()) return norm(x);
  norm->num_batches_tracked += 1;
  return at::batch_norm(x, norm->weight, norm->bias, norm->running_mean, norm->running_var, /*training=*/true,
                        *norm->options.momentum(), norm->options.eps(), /*cudnn_enabled=*/true);
}

}  // namespace transfer_limits
