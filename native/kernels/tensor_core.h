#pragma once

#include "kernels/cuda_launch.h"

namespace transfer_limits::cuda {

// A warp's product of bfloat16 on tensor cores: sums [16, 8 kColumns] += a [16, 16] b^T, b [8 kColumns, 16], sums in float32.
// Of lane l, with g = l / 4 and t = l % 4 (PTX, "matrix fragments for mma.m16n8k16"), two neighbouring features in a
// word:
//   a[0], a[1]: rows g and g + 8, features 2 t and 2 t + 1; a[2], a[3]: the same rows, features 8 further on
//   b[c][0], b[c][1]: row 8 c + g, features 2 t and 2 t + 1, and 8 further on
//   sums[c][0], sums[c][1]: row g, columns 8 c + 2 t and 8 c + 2 t + 1; sums[c][2], sums[c][3]: row g + 8
constexpr int kProductRows = 16, kProductColumns = 8, kProductFeatures = 16;

template <int kColumns>
__device__ inline void add_products(float (&sums)[kColumns][4], const uint32_t (&a)[4],
                                    const uint32_t (&b)[kColumns][2]) {
#ifdef TRANSFER_LIMITS_EMULATED_CUDA
  emulated_cuda::add_products_of_warp(&sums[0][0], a, &b[0][0], kColumns);
#else
#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sums[c][0]), "+f"(sums[c][1]), "+f"(sums[c][2]), "+f"(sums[c][3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[c][0]), "r"(b[c][1]));
  }
#endif
}

}  // namespace transfer_limits::cuda
