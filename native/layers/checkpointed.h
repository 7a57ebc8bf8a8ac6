#pragma once

#include <functional>

#include "modules.h"

namespace transfer_limits {

// While one lives with `enabled`, blocks run through `checkpointed` keep nothing but their input for the way back.
class Checkpointing {
 public:
  explicit Checkpointing(bool enabled) : before_(enabled_) { enabled_ = enabled; }
  ~Checkpointing() { enabled_ = before_; }
  Checkpointing(const Checkpointing&) = delete;
  Checkpointing& operator=(const Checkpointing&) = delete;

  static bool enabled() { return enabled_; }

 private:
  static thread_local bool enabled_;
  bool before_;
};

// `block(x)`; with checkpointing (Chen et al., "Training deep nets with sublinear memory cost", 2016) on the way back it
// is computed once more, from the same draws and in the same precision, so that the gradients are the same to the bit.
// `parameters` are all those that the block uses. The block must not change anything: no running statistics.
at::Tensor checkpointed(const std::function<at::Tensor(const at::Tensor&)>& block,
                        const std::vector<at::Tensor>& parameters, const at::Tensor& x);

// The same for a module that takes one tensor; what else it takes follows.
template <typename Block, typename... Others>
at::Tensor checkpointed_block(Block& block, const at::Tensor& x, const Others&... others) {
  // A view, so that the block's own gradients towards x are added up before those of others who see x, as they are
  // where the block is computed again: sums in another order have other bits.
  if (!Checkpointing::enabled()) return block(x.view_as(x), others...);
  return checkpointed([block, others...](const at::Tensor& input) mutable { return block(input, others...); },
                      block->parameters(), x);
}

}  // namespace transfer_limits
