#pragma once

#include "tensor.h"

namespace transfer_limits {

// Numbers in [0, 1), float32, [count], on the device of `seed`: number n of a draw follows from the seed, the draw and
// first + n alone, to the bit, whatever the device (see philox.h); none is one of philox_normal's. The seed, [1] int64, is
// read when the numbers are made: a recorded step makes those of the step that it is played for.
at::Tensor philox_uniform(int64_t count, const at::Tensor& seed, int64_t draw, int64_t first);

// What it does with a dense float32 tensor on a CUDA device.
namespace cuda {
void fill_philox_uniform(at::Tensor& out, const at::Tensor& seed, int64_t draw, int64_t first);
}  // namespace cuda

}  // namespace transfer_limits
