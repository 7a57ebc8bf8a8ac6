#pragma once

#include <functional>
#include <memory>

#include "layers/present.h"
#include "modules.h"

namespace transfer_limits {

// The part of a batch that goes through a network at once: a micro-batch, or a rank's part of the batch of all ranks.
struct BatchPart {
  int64_t start = 0;  // of the part's first sample in the batch
  int64_t total = 0;  // samples of the batch
  // False for the one sample that a rank without a part of its own sees, so that it takes part in what ranks do together.
  bool counts = true;
  // Adds a tensor up over all ranks, in place; null: there is one.
  std::shared_ptr<const std::function<void(at::Tensor&)>> sum_over_ranks;
};

// While one lives, what goes through a network on this thread is that part of a batch; null: a whole batch.
using InBatchPart = Present<const BatchPart>;

// Of the batch that batch norms take their statistics from: of all ranks, where several see parts of one.
inline int64_t samples_of_norms(const at::Tensor& x) {
  const BatchPart* part = InBatchPart::present();
  return part != nullptr && part->sum_over_ranks ? part->total : x.size(0);
}

// While one lives, batch norms in training take their statistics from the batches of all ranks, where the present part of
// a batch is one of several. (Without one, each from its own.)
class BatchNormOverRanks {
 public:
  BatchNormOverRanks();
  ~BatchNormOverRanks();
  BatchNormOverRanks(const BatchNormOverRanks&) = delete;
  BatchNormOverRanks& operator=(const BatchNormOverRanks&) = delete;

 private:
  bool before_;
};

}  // namespace transfer_limits
