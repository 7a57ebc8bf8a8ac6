#include <cmath>

#include "kernels/layer_norm_cuda.h"

namespace transfer_limits::cuda {
namespace {

constexpr int kMostWarps = 8;    // a block; each takes a row at a time
constexpr int kRowsOfWarp = 64;  // few enough for sums in float
constexpr int kWide = 4;         // features that a thread loads at once, where rows are multiples of it

// The row is read three times, but from memory once: it is small beside the first cache.
template <typename In, typename Out, int kValues>
__global__ void __launch_bounds__(kMostWarps* kWarpThreads)
    normalise_rows_kernel(LayerNormRows shape, const In* __restrict__ x, const float* __restrict__ weight,
                          const float* __restrict__ bias, Out* __restrict__ y,
                          float* __restrict__ statistics) {
  const int lane = int(threadIdx.x) % kWarpThreads;
  const int64_t row = int64_t(blockIdx.x) * kMostWarps + int(threadIdx.x) / kWarpThreads;
  if (row >= shape.rows) return;  // a whole warp
  const In* own = x + row * shape.features;
  const int64_t first = int64_t(lane) * kValues, step = int64_t(kWarpThreads) * kValues;
  float sum = 0.0f;
  for (int64_t feature = first; feature < shape.features; feature += step) {
    const auto pack = load<kValues>(own + feature);
#pragma unroll
    for (int i = 0; i < kValues; ++i) sum += to_float(pack.values[i]);
  }
  const float mean = sum_over_warp(sum) / float(shape.features);
  float squares = 0.0f;
  for (int64_t feature = first; feature < shape.features; feature += step) {
    const auto pack = load<kValues>(own + feature);
#pragma unroll
    for (int i = 0; i < kValues; ++i) {
      const float off = to_float(pack.values[i]) - mean;
      squares += off * off;
    }
  }
  const float variance = sum_over_warp(squares) / float(shape.features);
  const float inverse = 1.0f / sqrtf(variance + shape.epsilon);
  if (lane == 0) {
    statistics[row] = mean;
    statistics[shape.rows + row] = inverse;
  }
  Out* to = y + row * shape.features;
  for (int64_t feature = first; feature < shape.features; feature += step) {
    const auto pack = load<kValues>(own + feature);
    const auto by = load<kValues>(weight + feature), plus = load<kValues>(bias + feature);
    Pack<Out, kValues> answer;
#pragma unroll
    for (int i = 0; i < kValues; ++i) {
      const float normal = (to_float(pack.values[i]) - mean) * inverse;
      answer.values[i] = from_float<Out>(normal * by.values[i] + plus.values[i]);
    }
    *reinterpret_cast<Pack<Out, kValues>*>(to + feature) = answer;
  }
}

// A warp takes a row after the other and keeps its sums over them in shared memory, where each thread has its own.
template <typename In, typename Out, int kValues>
__global__ void __launch_bounds__(kMostWarps* kWarpThreads)
    gradients_kernel(LayerNormRows shape, const Out* __restrict__ gradient, const In* __restrict__ x,
                     const float* __restrict__ statistics, const float* __restrict__ weight,
                     In* __restrict__ to_x, double* __restrict__ sums) {
  DYNAMIC_SHARED(shared);
  const int lane = int(threadIdx.x) % kWarpThreads, warp = int(threadIdx.x) / kWarpThreads;
  const int warps = int(blockDim.x) / kWarpThreads;
  const int64_t features = shape.features;
  float* of_weight = reinterpret_cast<float*>(shared) + 2 * warp * features;
  float* of_bias = of_weight + features;
  const int64_t first = int64_t(lane) * kValues, step = int64_t(kWarpThreads) * kValues;
  for (int64_t feature = first; feature < features; feature += step) {
#pragma unroll
    for (int i = 0; i < kValues; ++i) of_weight[feature + i] = of_bias[feature + i] = 0.0f;
  }
  const int64_t begin = (int64_t(blockIdx.x) * warps + warp) * kRowsOfWarp;
  const int64_t end = min(begin + kRowsOfWarp, shape.rows);
  for (int64_t row = begin; row < end; ++row) {
    const float mean = statistics[row], inverse = statistics[shape.rows + row];
    const In* own = x + row * features;
    const Out* incoming = gradient + row * features;
    float sum = 0.0f, product = 0.0f;
    for (int64_t feature = first; feature < features; feature += step) {
      const auto pack = load<kValues>(own + feature);
      const auto g = load<kValues>(incoming + feature);
      const auto by = load<kValues>(weight + feature);
      auto& weights = *reinterpret_cast<Pack<float, kValues>*>(of_weight + feature);
      auto& biases = *reinterpret_cast<Pack<float, kValues>*>(of_bias + feature);
#pragma unroll
      for (int i = 0; i < kValues; ++i) {
        const float normal = (to_float(pack.values[i]) - mean) * inverse, given = to_float(g.values[i]);
        weights.values[i] += given * normal;
        biases.values[i] += given;
        sum += given * by.values[i];
        product += given * by.values[i] * normal;
      }
    }
    const float shift = sum_over_warp(sum) / float(features),
                slope = sum_over_warp(product) / float(features);
    In* to = to_x + row * features;
    for (int64_t feature = first; feature < features; feature += step) {
      const auto pack = load<kValues>(own + feature);
      const auto g = load<kValues>(incoming + feature);
      const auto by = load<kValues>(weight + feature);
      Pack<In, kValues> found;
#pragma unroll
      for (int i = 0; i < kValues; ++i) {
        const float normal = (to_float(pack.values[i]) - mean) * inverse;
        found.values[i] =
            from_float<In>(inverse * (to_float(g.values[i]) * by.values[i] - shift - normal * slope));
      }
      *reinterpret_cast<Pack<In, kValues>*>(to + feature) = found;
    }
  }
  __syncthreads();
  const float* all = reinterpret_cast<const float*>(shared);
  for (int64_t i = threadIdx.x; i < 2 * features; i += blockDim.x) {
    double sum = 0.0;
    for (int other = 0; other < warps; ++other) sum += double(all[2 * other * features + i]);
    sums[int64_t(blockIdx.x) * 2 * features + i] = sum;
  }
}

// As many as have room for their sums.
int warps_of(const LayerNormRows& shape) {
  return int(
      std::clamp<int64_t>(kRoomForSums / (2 * int64_t(sizeof(float)) * shape.features), 1, kMostWarps));
}

}  // namespace

template <typename In, typename Out>
void normalise_rows(const LayerNormRows& shape, const In* x, const float* weight, const float* bias, Out* y,
                    float* statistics, cudaStream_t stream) {
  const auto kernel = shape.features % kWide == 0 ? &normalise_rows_kernel<In, Out, kWide>
                                                  : &normalise_rows_kernel<In, Out, 1>;
  launch(kernel, dim3(unsigned(divided(shape.rows, kMostWarps))), dim3(kMostWarps * kWarpThreads), 0, stream,
         shape, x, weight, bias, y, statistics);
}

int64_t layer_norm_parts(const LayerNormRows& shape) {
  return divided(shape.rows, int64_t(warps_of(shape)) * kRowsOfWarp);
}

template <typename In, typename Out>
void layer_norm_gradients(const LayerNormRows& shape, const Out* gradient, const In* x,
                          const float* statistics, const float* weight, In* to_x, double* sums,
                          cudaStream_t stream) {
  const int warps = warps_of(shape);
  const auto kernel =
      shape.features % kWide == 0 ? &gradients_kernel<In, Out, kWide> : &gradients_kernel<In, Out, 1>;
  launch(kernel, dim3(unsigned(layer_norm_parts(shape))), dim3(unsigned(warps * kWarpThreads)),
         size_t(2 * warps * shape.features) * sizeof(float), stream, shape, gradient, x, statistics, weight,
         to_x, sums);
}

#define FOR_TYPES(In, Out)                                                                                \
  template void normalise_rows(const LayerNormRows&, const In*, const float*, const float*, Out*, float*, \
                               cudaStream_t);                                                             \
  template void layer_norm_gradients(const LayerNormRows&, const Out*, const In*, const float*,           \
                                     const float*, In*, double*, cudaStream_t)
FOR_TYPES(float, float);
FOR_TYPES(float, Bfloat16);
FOR_TYPES(Bfloat16, float);
FOR_TYPES(Bfloat16, Bfloat16);
#undef FOR_TYPES

}  // namespace transfer_limits::cuda
