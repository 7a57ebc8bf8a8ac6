#pragma once

#include <torch/csrc/autograd/variable.h>

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "modules.h"
#include "training/rank_group.h"

namespace transfer_limits {

// Adds gradients up over all ranks while the pass backward still computes others: parameters are put together in buckets,
// the last parameters first as theirs are ready first, and a bucket's sum starts when all of its gradients are there.
class GradientBuckets {
 public:
  GradientBuckets(std::shared_ptr<RankGroup> ranks, const std::vector<at::Tensor>& parameters);
  ~GradientBuckets();
  GradientBuckets(const GradientBuckets&) = delete;
  GradientBuckets& operator=(const GradientBuckets&) = delete;

  // The next pass backward is the last that adds to the gradients.
  void begin();
  // After it: returns when every gradient is the sum over all ranks. What has no gradient has none on any rank.
  void finish();

 private:
  struct Bucket {
    std::vector<at::Tensor> parameters;
    size_t missing = 0;  // gradients that are not there yet
    at::Tensor flat;
    std::unique_ptr<RankGroup::Sum> sum;
  };

  void is_ready(size_t bucket);
  void start(Bucket& bucket);

  std::shared_ptr<RankGroup> ranks_;
  std::vector<Bucket> buckets_;
  size_t started_ = 0;  // buckets whose sums have begun, in the order in which all ranks begin them
  bool counting_ = false;
  // What adds to each parameter's gradient, and the hook there.
  using Node = decltype(torch::autograd::impl::grad_accumulator(std::declval<const at::Tensor&>()));
  std::vector<std::pair<Node, uintptr_t>> hooks_;
};

}  // namespace transfer_limits
