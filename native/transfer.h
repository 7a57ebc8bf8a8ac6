#pragma once

#include "tensor.h"

namespace transfer_limits {

// A tensor on a device. It goes to a GPU through pinned memory, so that neither the host nor work that the GPU has in
// its queue waits for the copy.
inline at::Tensor moved_to(const at::Tensor& tensor, const at::Device& device) {
  if (tensor.device() == device) return tensor;
  if (!device.is_cuda() || !tensor.device().is_cpu()) return tensor.to(device);
  return (tensor.is_pinned() ? tensor : tensor.pin_memory()).to(device, /*non_blocking=*/true);
}

}  // namespace transfer_limits
