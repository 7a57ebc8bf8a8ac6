#include <cmath>

#include "error.h"
#include "kernels/overlap.h"

namespace transfer_limits {

std::vector<Overlap> overlap(const at::Tensor& prediction, const at::Tensor& target, double threshold) {
  const at::NoGradGuard no_grad;
  require(prediction.sizes() == target.sizes(),
          "Expected a prediction and a target of one shape but received ", prediction.sizes(), " and ",
          target.sizes());
  require(prediction.dim() >= 1,
          "Expected at least one dimension, the samples, for the prediction but received a scalar");
  require(prediction.device() == target.device(),
          "Expected prediction and target on one device but received ", prediction.device().str(), " and ",
          target.device().str());
  require(!std::isnan(threshold), "Expected a number for the threshold but received NaN");
  std::vector<Overlap> counts(prediction.size(0));
  for (int64_t sample = 0; sample < prediction.size(0); ++sample) {
    const at::Tensor predicted = prediction.select(0, sample) > threshold;
    const at::Tensor wanted = target.select(0, sample) > 0.5;
    counts[sample] = {at::logical_and(predicted, wanted).sum().item<int64_t>(),
                      predicted.sum().item<int64_t>(), wanted.sum().item<int64_t>()};
  }
  return counts;
}

}  // namespace transfer_limits
