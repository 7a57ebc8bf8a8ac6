#pragma once

#include "kernels/cuda_launch.h"
#include "tensor.h"
#ifndef TRANSFER_LIMITS_EMULATED_CUDA
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace transfer_limits::cuda {

// The device of a tensor becomes the current one for a while.
#ifdef TRANSFER_LIMITS_EMULATED_CUDA
struct DeviceGuard {
  explicit DeviceGuard(const at::Tensor&) {}
};
inline cudaStream_t current_stream() { return nullptr; }
#else
class DeviceGuard {
 public:
  explicit DeviceGuard(const at::Tensor& tensor) : guard_(tensor.device()) {}

 private:
  c10::cuda::CUDAGuard guard_;
};
inline cudaStream_t current_stream() { return c10::cuda::getCurrentCUDAStream().stream(); }
#endif

// Null for a tensor that is not defined. `Value` is float, or Bfloat16 of a tensor of bfloat16.
template <typename Value>
const Value* values_of(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<const Value*>(tensor.const_data_ptr()) : nullptr;
}

// The same to write to.
template <typename Value>
Value* memory_of(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<Value*>(tensor.mutable_data_ptr()) : nullptr;
}

// As the kernels load it, up to 16 bytes at once: parts of other tensors may begin anywhere.
inline at::Tensor aligned(const at::Tensor& tensor) {
  constexpr uintptr_t kAlignment = 16;
  if (!tensor.defined() || reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % kAlignment == 0)
    return tensor;
  return tensor.clone();
}

}  // namespace transfer_limits::cuda
