#include <cmath>

#include "error.h"
#include "kernels/overlap.h"
#include "volumes/masks.h"

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
  if (prediction.size(0) == 0) return {};
  std::vector<at::Tensor> sums;
  for (int64_t sample = 0; sample < prediction.size(0); ++sample) {
    const at::Tensor predicted = prediction.select(0, sample) > threshold;
    const at::Tensor wanted = volumes::foreground(target.select(0, sample));
    sums.insert(sums.end(), {at::logical_and(predicted, wanted).sum(), predicted.sum(), wanted.sum()});
  }
  const at::Tensor all = at::stack(sums).cpu();  // one wait for a GPU, whatever the number of samples
  const int64_t* values = all.const_data_ptr<int64_t>();
  std::vector<Overlap> counts(prediction.size(0));
  for (Overlap& count : counts) {
    count = {values[0], values[1], values[2]};
    values += 3;
  }
  return counts;
}

}  // namespace transfer_limits
