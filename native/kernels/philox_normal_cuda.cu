#include "kernels/philox.h"
#include "kernels/philox_normal_cuda.h"

namespace transfer_limits::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kOfBlock = 4;  // normals of a block of words

struct alignas(16) Quad {
  float values[kOfBlock];
};

// A thread makes the four normals of one block of words, which are stored at once where there is room for all.
__global__ void __launch_bounds__(kThreads) normals_kernel(uint64_t seed, int64_t count, float* out) {
  const int64_t index = int64_t(blockIdx.x) * kThreads + threadIdx.x, first = index * kOfBlock;
  if (first >= count) return;
  const PhiloxWords words = philox_block(index, seed);
  const NormalPair a = normal_pair(words.word[0], words.word[1]);
  const NormalPair b = normal_pair(words.word[2], words.word[3]);
  const Quad quad{{a.first, a.second, b.first, b.second}};
  if (first + kOfBlock <= count && reinterpret_cast<uintptr_t>(out) % sizeof(Quad) == 0) {
    *reinterpret_cast<Quad*>(out + first) = quad;
    return;
  }
#pragma unroll
  for (int i = 0; i < kOfBlock; ++i) {
    if (first + i < count) out[first + i] = quad.values[i];
  }
}

}  // namespace

void draw_normals(uint64_t seed, int64_t count, float* out, cudaStream_t stream) {
  const int64_t of_grid_block = kThreads * kOfBlock;
  launch(normals_kernel, dim3(unsigned((count + of_grid_block - 1) / of_grid_block)), dim3(kThreads), 0,
         stream, seed, count, out);
}

}  // namespace transfer_limits::cuda
