#include "kernels/philox.h"
#include "kernels/philox_uniform_cuda.h"

namespace transfer_limits::cuda {
namespace {

constexpr int kThreads = 128;

__global__ void __launch_bounds__(kThreads)
    uniform_kernel(const int64_t* seed, uint32_t draw, int64_t first, int64_t count, float* out) {
  const int64_t n = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (n < count) out[n] = uniform_number(first + n, draw, uint64_t(*seed));
}

}  // namespace

void draw_uniform(const int64_t* seed, uint32_t draw, int64_t first, int64_t count, float* out,
                  cudaStream_t stream) {
  launch(uniform_kernel, dim3(unsigned((count + kThreads - 1) / kThreads)), dim3(kThreads), 0, stream, seed,
         draw, first, count, out);
}

}  // namespace transfer_limits::cuda
