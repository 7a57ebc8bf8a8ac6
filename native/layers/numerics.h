#pragma once

#include "layers/precision.h"
#include "modules.h"

namespace transfer_limits {

// What LibTorch leaves open, for the whole process: float32 means float32 on a GPU too, where cuDNN's convolutions would
// round their operands to TF32's ten bits by default; and libraries try no algorithms against each other, as which one
// wins depends on the moment. To be called once, before anything is computed.
void settle_numerics();

// While it lives, operands of float32 products and convolutions on a GPU are rounded to TF32, if that is the precision:
// in everything that the process computes, so that a device's work must not run beside another's of other precision.
// Nothing of it on a CPU.
class Tf32 {
 public:
  explicit Tf32(Precision precision);
  ~Tf32();
  Tf32(const Tf32&) = delete;
  Tf32& operator=(const Tf32&) = delete;

 private:
  bool on_;
};

// The same numbers to the bit from the same work on the same GPU: LibTorch takes deterministic algorithms, and refuses
// what has none; cuBLAS gets a workspace of its own for each stream; gradients of layers/deterministic.h are ours. On a
// CPU everything is deterministic in any case. To be called before anything is computed on a GPU.
void set_deterministic(bool on);

}  // namespace transfer_limits
