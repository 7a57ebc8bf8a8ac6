#include "layers/batch_part.h"

#include <algorithm>

namespace transfer_limits {

thread_local const BatchPart* InBatchPart::present_ = nullptr;

at::Tensor rand_of_samples(int64_t samples, const at::TensorOptions& options) {
  const BatchPart* part = InBatchPart::present();
  if (part == nullptr) return at::rand({samples}, options);
  BatchDraws& draws = *part->draws;
  if (draws.next == draws.drawn.size()) draws.drawn.push_back(at::rand({part->total}, options));
  // A sample that does not count may stand behind the batch's last.
  const int64_t start = std::min(part->start, part->total - samples);
  return draws.drawn[draws.next++].slice(0, start, start + samples);
}

}  // namespace transfer_limits
