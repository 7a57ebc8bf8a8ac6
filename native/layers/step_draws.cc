#include "layers/step_draws.h"

#include <algorithm>

#include "error.h"
#include "kernels/philox_uniform.h"
#include "layers/batch_part.h"

namespace transfer_limits {

at::Tensor draw_of_samples(int64_t samples) {
  StepDraws* draws = InStepDraws::present();
  require(draws != nullptr, "Expected a network that draws to be trained by a step's seed but received none");
  const BatchPart* part = InBatchPart::present();
  // A sample that does not count may stand behind the batch's last.
  const int64_t first = part == nullptr ? 0 : std::min(part->start, part->total - samples);
  return philox_uniform(samples, draws->seed, draws->next++, first);
}

}  // namespace transfer_limits
