#pragma once

#include "layers/present.h"
#include "modules.h"

namespace transfer_limits {

// What a network draws for the samples of a batch in a step of training: number s of draw d follows from the step's seed, d
// and s alone (kernels/philox_uniform.h), so that it is the same on every device, in whatever part of the batch sample s
// is, and where a block is computed once more.
struct StepDraws {
  at::Tensor seed;   // [1], int64, on the network's device
  int64_t next = 0;  // the draw that comes next
};

// While one lives, networks in training on this thread draw from it; null outside of a step.
using InStepDraws = Present<StepDraws>;

// The next draw: a number in [0, 1), float32, for each of so many samples, of the present part of a batch those that the
// whole batch gives them. Throws outside of a step.
at::Tensor draw_of_samples(int64_t samples);

}  // namespace transfer_limits
