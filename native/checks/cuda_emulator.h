#pragma once

// The part of CUDA that this project's kernels use, on a CPU: every thread of a block is a fiber, blocks run one after
// another, and a barrier switches to the next fiber. Not fast; it shows whether a kernel computes what it should, and
// whether its barriers stand where they must: shared memory holds NaN before a block starts, a thread that returns
// before a barrier or waits for ever is an error, and memory outside of an array is found by AddressSanitizer. Three
// environment variables change what a kernel must not depend on: EMULATED_CUDA_ORDER, in which threads and blocks run
// (forwards, backwards or shuffled), EMULATED_CUDA_SHARED, the bytes of shared memory that a block may take, and
// EMULATED_CUDA_COPIES, when asynchronous copies happen: as late as their thread waits for them, or "early", at once.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

// NOLINTBEGIN(bugprone-reserved-identifier): the names are CUDA's
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __shared__ static
#define DYNAMIC_SHARED(name) unsigned char* name = ::emulated_cuda::shared_memory()

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct float2 {
  float x, y;
};
struct double2 {
  double x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
using cudaStream_t = void*;

inline float2 make_float2(float x, float y) { return {x, y}; }

namespace emulated_cuda {

struct Position {
  dim3 thread, block, block_size, grid_size;
};

// Of the fiber that runs.
const Position& position();
unsigned char* shared_memory();
void wait_for_block();
// Shows `bytes` of this thread's to the others of its warp, and waits until each has shown as much: from then on, until
// this thread shows something again, `shown_by` is what thread `lane` has shown.
void show_to_warp(const void* mine, size_t bytes);
const unsigned char* shown_by(unsigned lane);

// Of kernels/tensor_core.h: sums [columns][4], b [columns][2].
void add_products_of_warp(float* sums, const uint32_t* a, const uint32_t* b, int columns);

// Copies that run beside the computation.
void copy_later(void* to, const void* from, size_t bytes, size_t zeros);
void close_group_of_copies();
void wait_for_copies(size_t groups_that_may_run);

void run_grid(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& thread);

template <typename Value>
Value from_lane(Value value, unsigned lane) {
  show_to_warp(&value, sizeof(Value));
  Value result;
  std::memcpy(&result, shown_by(lane), sizeof(Value));
  return result;
}

inline unsigned thread_in_block() {
  const Position& p = position();
  return (p.thread.z * p.block_size.y + p.thread.y) * p.block_size.x + p.thread.x;
}

}  // namespace emulated_cuda

#define threadIdx (::emulated_cuda::position().thread)
#define blockIdx (::emulated_cuda::position().block)
#define blockDim (::emulated_cuda::position().block_size)
#define gridDim (::emulated_cuda::position().grid_size)

inline void __syncthreads() { emulated_cuda::wait_for_block(); }

template <typename Value>
Value __shfl_xor_sync(unsigned, Value value, int mask) {
  return emulated_cuda::from_lane(value, (emulated_cuda::thread_in_block() % 32) ^ unsigned(mask));
}

inline void __pipeline_memcpy_async(void* to, const void* from, size_t bytes, size_t zeros = 0) {
  emulated_cuda::copy_later(to, from, bytes, zeros);
}
inline void __pipeline_commit() { emulated_cuda::close_group_of_copies(); }
inline void __pipeline_wait_prior(size_t groups) { emulated_cuda::wait_for_copies(groups); }

inline void __stcg(uint4* to, uint4 value) { *to = value; }
inline float __expf(float x) { return std::exp(x); }
inline float __fdividef(float x, float y) { return x / y; }
// NOLINTEND(bugprone-reserved-identifier)
using std::max;
using std::min;

namespace transfer_limits::cuda {

struct DeviceLimits {
  int shared_bytes = 0;
  int multiprocessors = 0;
};
// The shared memory of an H100, unless the environment says otherwise; so few multiprocessors that blocks which work on
// many parts one after another do so here too.
DeviceLimits device_limits();

template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t,
            Arguments... arguments) {
  emulated_cuda::run_grid(grid, block, shared_bytes,
                          [kernel, arguments...] { kernel(static_cast<Parameters>(arguments)...); });
}

}  // namespace transfer_limits::cuda
