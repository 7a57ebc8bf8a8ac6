#pragma once

// What every CUDA source starts with: the language, starting a kernel, and bfloat16 by its bits. Compiled by a C++
// compiler with TRANSFER_LIMITS_EMULATED_CUDA set, the same sources run on the CPU, thread by thread (see
// checks/cuda_emulator.h): that is how the kernels are tested where there is no GPU.
#ifdef TRANSFER_LIMITS_EMULATED_CUDA
#include "checks/cuda_emulator.h"
#else
#include <cuda_runtime.h>
#ifdef __CUDACC__
#include <cuda_pipeline.h>
#endif
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

namespace transfer_limits::cuda {

// The bits of a bfloat16, as at::BFloat16 holds them.
struct Bfloat16 {
  uint16_t bits;
};

// How many of `by` hold `count`.
template <typename Count = int64_t>
Count divided(int64_t count, int64_t by) {
  return Count((count + by - 1) / by);
}

// What follows is for CUDA sources.
#if defined(__CUDACC__) || defined(TRANSFER_LIMITS_EMULATED_CUDA)

// Values that are loaded or stored at once, of at most so many bytes.
constexpr int kPackBytes = 16;

template <typename Value, int kValues>
struct alignas(sizeof(Value) * kValues) Pack {
  Value values[kValues];
};

template <int kValues, typename Value>
__device__ inline Pack<Value, kValues> load(const Value* from) {
  return *reinterpret_cast<const Pack<Value, kValues>*>(from);
}

constexpr int kWarpThreads = 32;

// For all of a warp, in one order.
template <typename Value>
__device__ inline Value sum_over_warp(Value sum) {
#pragma unroll
  for (int mask = kWarpThreads / 2; mask > 0; mask /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, mask);
  return sum;
}

__device__ inline float to_float(float value) { return value; }
__device__ inline float to_float(Bfloat16 value) {
  const uint32_t bits = uint32_t(value.bits) << 16;
  float result;
  memcpy(&result, &bits, sizeof(result));
  return result;
}

template <typename Value>
__device__ inline Value from_float(float value);
template <>
__device__ inline float from_float<float>(float value) {
  return value;
}
// To the nearest, to even in the middle.
template <>
__device__ inline Bfloat16 from_float<Bfloat16>(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {0x7fc0};  // not a number
  bits += 0x7fffu + ((bits >> 16) & 1u);
  return {uint16_t(bits >> 16)};
}

#ifndef TRANSFER_LIMITS_EMULATED_CUDA
#define DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]

inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw std::runtime_error(std::string("CUDA could not ") + what + ": " + cudaGetErrorString(status));
}

// The bytes of shared memory that one block may take, and the number of multiprocessors.
struct DeviceLimits {
  int shared_bytes = 0;
  int multiprocessors = 0;
};

inline DeviceLimits device_limits() {
  int device = 0;
  DeviceLimits limits;
  check(cudaGetDevice(&device), "name its device");
  check(cudaDeviceGetAttribute(&limits.shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
        "tell its shared memory");
  check(cudaDeviceGetAttribute(&limits.multiprocessors, cudaDevAttrMultiProcessorCount, device),
        "tell its multiprocessors");
  return limits;
}

// Starts `kernel` on `stream`, with that much shared memory beyond what it declares itself.
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
            Arguments... arguments) {
  if (shared_bytes > 48 * 1024) {
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared_bytes)),
          "give a block its shared memory");
  }
  kernel<<<grid, block, shared_bytes, stream>>>(static_cast<Parameters>(arguments)...);
  check(cudaGetLastError(), "start a kernel");
}
#endif

#endif

}  // namespace transfer_limits::cuda
