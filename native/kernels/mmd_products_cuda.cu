#include "kernels/mmd_products_cuda.h"
#include "kernels/mmd_rounding.h"

namespace transfer_limits::cuda {
namespace {

constexpr int kThreads = 256;

template <typename Real>
struct Factors {
  Real values[kMostFactors];
};

__device__ float kernel_value(float exponent) { return __expf(exponent); }
__device__ double kernel_value(double exponent) { return exp(exponent); }

__device__ double squared_difference(const float* u, const float* v, int64_t features) {
  double sum = 0.0;
  for (int64_t f = 0; f < features; ++f) {
    const double difference = double(u[f]) - double(v[f]);
    sum += difference * difference;
  }
  return sum;
}

// Products of float32 are refined, in float64; those of bfloat16 are not, in float.
template <typename Real>
constexpr bool kRefined = sizeof(Real) == sizeof(double);

template <typename Real, int kCount>
__global__ void __launch_bounds__(kThreads)
    add_pairs_kernel(PairTile<Real> tile, PairRows rows, Factors<Real> factors, double* __restrict__ sums) {
  double totals[kCount] = {};
  for (int64_t i = blockIdx.x; i < tile.rows; i += gridDim.x) {
    const Real norm = tile.row_norms[i];
    // Right of the diagonal within one set.
    int64_t begin = 0;
    if (tile.same_set) begin = max(int64_t(0), tile.first_row + i + 1 - tile.first_column);
    Real row[kCount] = {};
    for (int64_t j = begin / kThreads * kThreads + threadIdx.x; j < tile.columns; j += kThreads) {
      if (j < begin) continue;
      const Real norms = norm + tile.column_norms[j];
      Real squared = norms - Real(2) * Real(tile.products[i * tile.columns + j]);
      squared = squared < Real(0) ? Real(0) : squared;
      Real values[kCount];
      bool coarse = false;
#pragma unroll
      for (int s = 0; s < kCount; ++s) {
        values[s] = kernel_value(squared * factors.values[s]);
        if constexpr (kRefined<Real>) {
          // The value at the least distance that the product's rounding allows.
          const double least = max(0.0, squared - rows.most_rounding * norms);
          const double largest = double(__expf(float(least * factors.values[s])));
          const double scale = norms * -factors.values[s];
          coarse = coarse || largest * kProductRounding * scale > kKernelTolerance;
        }
      }
      if (coarse) {
        squared = Real(
            squared_difference(rows.left + i * rows.features, rows.right + j * rows.features, rows.features));
#pragma unroll
        for (int s = 0; s < kCount; ++s) values[s] = kernel_value(squared * factors.values[s]);
      }
#pragma unroll
      for (int s = 0; s < kCount; ++s) row[s] += values[s];
    }
#pragma unroll
    for (int s = 0; s < kCount; ++s) totals[s] += double(row[s]);
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

template <typename Real>
void start(const PairTile<Real>& tile, const PairRows& rows, const double* factors, int count, double* sums,
           cudaStream_t stream) {
  Factors<Real> own{};
  for (int s = 0; s < count; ++s) own.values[s] = Real(factors[s]);
  const auto kernel = count == 1   ? &add_pairs_kernel<Real, 1>
                      : count == 2 ? &add_pairs_kernel<Real, 2>
                      : count == 3 ? &add_pairs_kernel<Real, 3>
                                   : &add_pairs_kernel<Real, 4>;
  launch(kernel, dim3(unsigned(std::min<int64_t>(kPairBlocks, tile.rows))), dim3(kThreads), 0, stream, tile,
         rows, own, sums);
}

}  // namespace

void add_pairs(const PairTile<double>& tile, const PairRows& rows, const double* factors, int count,
               double* sums, cudaStream_t stream) {
  start(tile, rows, factors, count, sums, stream);
}

void add_pairs(const PairTile<float>& tile, const double* factors, int count, double* sums,
               cudaStream_t stream) {
  start(tile, {}, factors, count, sums, stream);
}

}  // namespace transfer_limits::cuda
