#include "kernels/mmd_products_cuda.h"
#include "kernels/mmd_rounding.h"

namespace transfer_limits::cuda {
namespace {

constexpr int kThreads = 256;

struct Factors {
  double values[kMostFactors];
};

__device__ double squared_difference(const float* u, const float* v, int64_t features) {
  double sum = 0.0;
  for (int64_t f = 0; f < features; ++f) {
    const double difference = double(u[f]) - double(v[f]);
    sum += difference * difference;
  }
  return sum;
}

template <int kCount>
__global__ void __launch_bounds__(kThreads)
    add_pairs_kernel(PairTile tile, PairRows rows, Factors factors, double* __restrict__ sums) {
  double totals[kCount] = {};
  for (int64_t i = blockIdx.x; i < tile.rows; i += gridDim.x) {
    const double norm = tile.row_norms[i];
    // Right of the diagonal within one set.
    int64_t begin = 0;
    if (tile.same_set) begin = max(int64_t(0), tile.first_row + i + 1 - tile.first_column);
    double row[kCount] = {};
    for (int64_t j = begin / kThreads * kThreads + threadIdx.x; j < tile.columns; j += kThreads) {
      if (j < begin) continue;
      const double norms = norm + tile.column_norms[j];
      double squared = norms - 2.0 * double(tile.products[i * tile.columns + j]);
      squared = squared < 0.0 ? 0.0 : squared;  // what is no number stays none
      // The distance at least, for the product's rounding.
      const double least = max(0.0, squared - rows.most_rounding * norms);
      double values[kCount];
      bool coarse = false;
#pragma unroll
      for (int s = 0; s < kCount; ++s) {
        values[s] = exp(squared * factors.values[s]);
        const double largest = double(__expf(float(least * factors.values[s])));
        const double scale = norms * -factors.values[s];
        coarse = coarse || largest * kProductRounding * scale > kKernelTolerance;
      }
      if (coarse) {
        squared =
            squared_difference(rows.left + i * rows.features, rows.right + j * rows.features, rows.features);
#pragma unroll
        for (int s = 0; s < kCount; ++s) values[s] = exp(squared * factors.values[s]);
      }
#pragma unroll
      for (int s = 0; s < kCount; ++s) row[s] += values[s];
    }
#pragma unroll
    for (int s = 0; s < kCount; ++s) totals[s] += row[s];
  }
  __shared__ double gathered[kThreads];
#pragma unroll
  for (int s = 0; s < kCount; ++s) {
    __syncthreads();
    gathered[threadIdx.x] = totals[s];
    for (int half = kThreads / 2; half > 0; half /= 2) {
      __syncthreads();
      if (int(threadIdx.x) < half) gathered[threadIdx.x] += gathered[threadIdx.x + half];
    }
    if (threadIdx.x == 0) sums[int64_t(blockIdx.x) * kCount + s] += gathered[0];
  }
}

}  // namespace

void add_pairs(const PairTile& tile, const PairRows& rows, const double* factors, int count, double* sums,
               cudaStream_t stream) {
  Factors own{};
  std::copy_n(factors, count, own.values);
  const auto kernel = count == 1   ? &add_pairs_kernel<1>
                      : count == 2 ? &add_pairs_kernel<2>
                      : count == 3 ? &add_pairs_kernel<3>
                                   : &add_pairs_kernel<4>;
  launch(kernel, dim3(unsigned(std::min<int64_t>(kPairBlocks, tile.rows))), dim3(kThreads), 0, stream, tile,
         rows, own, sums);
}

}  // namespace transfer_limits::cuda
