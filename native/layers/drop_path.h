#pragma once

#include "layers/step_draws.h"
#include "modules.h"

namespace transfer_limits {

// Stochastic depth (Huang 2016): in training, a sample's whole branch is dropped with probability `rate`, and kept
// branches are scaled up by 1 / (1 - rate).
inline at::Tensor drop_path(const at::Tensor& branch, double rate, bool training) {
  if (rate <= 0.0 || !training) return branch;
  std::vector<int64_t> shape(branch.dim(), 1);
  shape[0] = branch.size(0);
  const at::Tensor keep = draw_of_samples(branch.size(0)).view(shape).ge(rate).to(branch.scalar_type());
  return branch * keep / (1.0 - rate);
}

}  // namespace transfer_limits
