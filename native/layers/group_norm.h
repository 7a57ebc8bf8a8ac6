#pragma once

#include "kernels/group_norm.h"
#include "modules.h"

namespace transfer_limits {

// Group norm of x [N, C, D, H, W] over `groups` of channels (as many as channels: instance norm), with weight and bias [C]
// where they are defined, `residual` added where it is, and its activation. On a CPU in float32, and on a GPU in float32 and
// bfloat16, one kernel does it, whose answer is of x's type and lies in channels-last memory as the convolutions want it:
// LibTorch's own norms go over x several times and bring it into another memory format, which the next convolution brings
// back. A SiLU takes no residual.
at::Tensor group_norm(const at::Tensor& x, int64_t groups, const at::Tensor& weight, const at::Tensor& bias,
                      AfterNorm activation, const at::Tensor& residual = {});

inline at::Tensor instance_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                                AfterNorm activation, const at::Tensor& residual = {}) {
  return group_norm(x, x.size(1), weight, bias, activation, residual);
}

}  // namespace transfer_limits
