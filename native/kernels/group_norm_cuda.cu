#include <type_traits>

#include "kernels/group_norm_cuda.h"

namespace transfer_limits::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kSteps = 32;  // voxels of a thread, few enough for sums in float
constexpr int kParameterThreads = 128;

template <typename Value>
constexpr int kWide = kPackBytes / int(sizeof(Value));

// How a block's threads lie over channels and voxels: each keeps to its pack of channels, in one voxel after the other.
struct Tiling {
  int64_t packs;  // of a voxel
  int columns;    // packs that the block takes
  int rows;       // voxels at once
  int64_t parts;  // of a sample
};

Tiling tiling_of(const NormShape& shape, int values) {
  const int64_t packs = shape.channels / values;
  const int columns = int(std::min<int64_t>(packs, kThreads));
  const int rows = kThreads / columns;
  return {packs, columns, rows, divided(shape.voxels, int64_t(rows) * kSteps)};
}

dim3 blocks_of(const NormShape& shape, const Tiling& tiling) {
  return {unsigned(shape.samples * tiling.parts), unsigned(divided(tiling.packs, tiling.columns))};
}

// Where a thread works.
template <int kValues>
struct Place {
  int row;
  int64_t sample, part, channel, first, end;  // voxels from `first` to `end`
  bool works;
  int step;
  __device__ Place(const NormShape& shape, const Tiling& tiling)
      : row(int(threadIdx.x) / tiling.columns),
        sample(int64_t(blockIdx.x) / tiling.parts),
        part(int64_t(blockIdx.x) % tiling.parts),
        channel((int64_t(blockIdx.y) * tiling.columns + int(threadIdx.x) % tiling.columns) * kValues),
        first(part * tiling.rows * kSteps + row),
        end(min((part + 1) * tiling.rows * kSteps, shape.voxels)),
        works(row < tiling.rows && channel < shape.channels),
        step(tiling.rows) {}
  __device__ int64_t at(const NormShape& shape, int64_t voxel) const {
    return (sample * shape.voxels + voxel) * shape.channels + channel;
  }
};

// Two sums a channel of every thread, added over the block's rows in their order.
template <int kValues>
__device__ void add_rows(const NormShape& shape, const Tiling& tiling, const Place<kValues>& place,
                         const float (&one)[kValues], const float (&other)[kValues], double* gathered,
                         double* sums) {
  const int width = tiling.columns * kValues;  // channels of the block
  const int own = int(threadIdx.x) % tiling.columns * kValues;
  if (place.row < tiling.rows) {
#pragma unroll
    for (int i = 0; i < kValues; ++i) {
      gathered[place.row * width + own + i] = double(one[i]);
      gathered[(tiling.rows + place.row) * width + own + i] = double(other[i]);
    }
  }
  __syncthreads();
  const int64_t first_channel = int64_t(blockIdx.y) * width;
  for (int i = int(threadIdx.x); i < 2 * width; i += kThreads) {
    const int which = i / width, column = i % width;
    if (first_channel + column >= shape.channels) continue;
    double sum = 0.0;
    for (int row = 0; row < tiling.rows; ++row) sum += gathered[(which * tiling.rows + row) * width + column];
    sums[(int64_t(blockIdx.x) * 2 + which) * shape.channels + first_channel + column] = sum;
  }
}

// Squares of what is far from 0 would lose digits: moments are about the first voxel.
template <typename Value, int kValues>
__global__ void __launch_bounds__(kThreads)
    moments_kernel(NormShape shape, Tiling tiling, const Value* __restrict__ x, double* __restrict__ sums) {
  DYNAMIC_SHARED(shared);
  const Place<kValues> place(shape, tiling);
  float one[kValues], other[kValues];
#pragma unroll
  for (int i = 0; i < kValues; ++i) one[i] = other[i] = 0.0f;
  if (place.works) {
    const auto pivot = load<kValues>(x + place.at(shape, 0));
#pragma unroll 4
    for (int64_t voxel = place.first; voxel < place.end; voxel += place.step) {
      const auto own = load<kValues>(x + place.at(shape, voxel));
#pragma unroll
      for (int i = 0; i < kValues; ++i) {
        const float off = to_float(own.values[i]) - to_float(pivot.values[i]);
        one[i] += off;
        other[i] += off * off;
      }
    }
  }
  add_rows<kValues>(shape, tiling, place, one, other, reinterpret_cast<double*>(shared), sums);
}

// One of the two sums of a channel over all parts of a sample, for all lanes of the warp.
__device__ double total_of(const NormShape& shape, int64_t parts, const double* sums, int64_t sample,
                           int which, int64_t channel) {
  double sum = 0.0;
  for (int64_t part = threadIdx.x; part < parts; part += kWarpThreads)
    sum += sums[((sample * parts + part) * 2 + which) * shape.channels + channel];
  return sum_over_warp(sum);
}

// A warp a group of a sample.
template <typename Value>
__global__ void __launch_bounds__(kWarpThreads)
    statistics_kernel(NormShape shape, int64_t parts, const Value* __restrict__ x,
                      const double* __restrict__ sums, float* __restrict__ statistics) {
  const int64_t sample = int64_t(blockIdx.x) / shape.groups, group = int64_t(blockIdx.x) % shape.groups;
  const int64_t of_group = shape.channels / shape.groups;
  const double count = double(shape.voxels);
  const Value* pivots = x + sample * shape.voxels * shape.channels;
  // Mean and squares about it grow channel by channel (Chan et al. 1979).
  double mean = 0.0, squares = 0.0;
  for (int64_t i = 0; i < of_group; ++i) {
    const int64_t channel = group * of_group + i;
    const double own = total_of(shape, parts, sums, sample, 0, channel) / count;
    const double square = total_of(shape, parts, sums, sample, 1, channel) / count;
    const double off = own + double(to_float(pivots[channel])) - mean;
    mean += off / double(i + 1);
    squares += max(0.0, square - own * own) + off * off * double(i) / double(i + 1);
  }
  if (threadIdx.x > 0) return;
  statistics[blockIdx.x] = float(mean);
  statistics[shape.samples * shape.groups + blockIdx.x] =
      float(1.0 / sqrt(squares / double(of_group) + kNormEpsilon));
}

// What a norm does to the channels of a thread.
template <int kValues>
struct OwnChannels {
  float mean[kValues], scale[kValues], shift[kValues];
  template <typename Value>
  __device__ OwnChannels(const NormOperands<Value>& norm, int64_t sample, int64_t first) {
    const NormShape& shape = norm.shape;
    const int64_t of_group = shape.channels / shape.groups;
#pragma unroll
    for (int i = 0; i < kValues; ++i) {
      const int64_t channel = first + i, group = sample * shape.groups + channel / of_group;
      mean[i] = norm.statistics[group];
      scale[i] = norm.statistics[shape.samples * shape.groups + group] *
                 (norm.weight == nullptr ? 1.0f : norm.weight[channel]);
      shift[i] = norm.bias == nullptr ? 0.0f : norm.bias[channel];
    }
  }
};

__device__ float logistic(float z) { return __fdividef(1.0f, 1.0f + __expf(-z)); }

template <typename Value, int kValues>
__global__ void __launch_bounds__(kThreads)
    normalise_kernel(NormOperands<Value> norm, Tiling tiling, const Value* __restrict__ residual,
                     Value* __restrict__ y) {
  const Place<kValues> place(norm.shape, tiling);
  if (!place.works) return;
  const OwnChannels<kValues> own(norm, place.sample, place.channel);
#pragma unroll 4
  for (int64_t voxel = place.first; voxel < place.end; voxel += place.step) {
    const int64_t at = place.at(norm.shape, voxel);
    const auto x = load<kValues>(norm.x + at);
    Pack<Value, kValues> beside;
    if (residual != nullptr) beside = load<kValues>(residual + at);
    Pack<Value, kValues> answer;
#pragma unroll
    for (int i = 0; i < kValues; ++i) {
      float z = (to_float(x.values[i]) - own.mean[i]) * own.scale[i] + own.shift[i];
      if (residual != nullptr) z += to_float(beside.values[i]);
      if (norm.activation == AfterNorm::kLeakyRelu) z = z > 0.0f ? z : float(kLeakySlope) * z;
      if (norm.activation == AfterNorm::kSilu) z *= logistic(z);
      answer.values[i] = from_float<Value>(z);
    }
    *reinterpret_cast<Pack<Value, kValues>*>(y + at) = answer;
  }
}

// Of the channels of a thread in one voxel, x - mean and the gradient before the activation.
template <int kValues>
struct VoxelGradient {
  float off[kValues], before[kValues];
  template <typename Value>
  __device__ VoxelGradient(const NormOperands<Value>& norm, const OwnChannels<kValues>& own,
                           const Value* gradient, const Value* y, int64_t at) {
    const bool leaky = norm.activation == AfterNorm::kLeakyRelu;
    const auto x = load<kValues>(norm.x + at), incoming = load<kValues>(gradient + at);
    const auto answered = load<kValues>((leaky ? y : gradient) + at);
#pragma unroll
    for (int i = 0; i < kValues; ++i) {
      off[i] = to_float(x.values[i]) - own.mean[i];
      before[i] = to_float(incoming.values[i]);
      if (leaky) before[i] *= to_float(answered.values[i]) > 0.0f ? 1.0f : float(kLeakySlope);
      if (norm.activation == AfterNorm::kSilu) {
        const float z = off[i] * own.scale[i] + own.shift[i], share = logistic(z);
        before[i] *= share * (1.0f + z * (1.0f - share));
      }
    }
  }
};

template <typename Value, int kValues>
__global__ void __launch_bounds__(kThreads)
    gradient_sums_kernel(NormOperands<Value> norm, Tiling tiling, const Value* __restrict__ gradient,
                         const Value* __restrict__ y, Value* __restrict__ before, double* __restrict__ sums) {
  DYNAMIC_SHARED(shared);
  const Place<kValues> place(norm.shape, tiling);
  float one[kValues], other[kValues];
#pragma unroll
  for (int i = 0; i < kValues; ++i) one[i] = other[i] = 0.0f;
  if (place.works) {
    const OwnChannels<kValues> own(norm, place.sample, place.channel);
#pragma unroll 4
    for (int64_t voxel = place.first; voxel < place.end; voxel += place.step) {
      const int64_t at = place.at(norm.shape, voxel);
      const VoxelGradient<kValues> voxel_gradient(norm, own, gradient, y, at);
      Pack<Value, kValues> found;
#pragma unroll
      for (int i = 0; i < kValues; ++i) {
        const float value = voxel_gradient.before[i];
        found.values[i] = from_float<Value>(value);
        one[i] += value;
        other[i] += value * voxel_gradient.off[i];
      }
      if (before != nullptr) *reinterpret_cast<Pack<Value, kValues>*>(before + at) = found;
    }
  }
  add_rows<kValues>(norm.shape, tiling, place, one, other, reinterpret_cast<double*>(shared), sums);
}

// A warp a group of a sample.
__global__ void __launch_bounds__(kWarpThreads)
    shifts_kernel(NormShape shape, int64_t parts, const double* __restrict__ sums,
                  const float* __restrict__ statistics, const float* __restrict__ weight,
                  double* __restrict__ totals, float* __restrict__ shifts) {
  const int64_t sample = int64_t(blockIdx.x) / shape.groups, group = int64_t(blockIdx.x) % shape.groups;
  const int64_t of_group = shape.channels / shape.groups;
  double sum = 0.0, product = 0.0;
  for (int64_t channel = group * of_group; channel < (group + 1) * of_group; ++channel) {
    const double own = total_of(shape, parts, sums, sample, 0, channel);
    const double own_product = total_of(shape, parts, sums, sample, 1, channel);
    const double by = weight == nullptr ? 1.0 : double(weight[channel]);
    sum += by * own;
    product += by * own_product;
    if (threadIdx.x == 0) {
      totals[sample * 2 * shape.channels + channel] = own;
      totals[(sample * 2 + 1) * shape.channels + channel] = own_product;
    }
  }
  if (threadIdx.x > 0) return;
  const double count = double(of_group) * double(shape.voxels);
  const double inverse = statistics[shape.samples * shape.groups + blockIdx.x];
  shifts[2 * int64_t(blockIdx.x)] = float(-inverse * sum / count);
  shifts[2 * int64_t(blockIdx.x) + 1] = float(-inverse * inverse * inverse * product / count);
}

__global__ void __launch_bounds__(kParameterThreads)
    parameters_kernel(NormShape shape, const double* __restrict__ totals,
                      const float* __restrict__ statistics, float* __restrict__ to_weight,
                      float* __restrict__ to_bias) {
  const int64_t channel = int64_t(blockIdx.x) * kParameterThreads + threadIdx.x;
  if (channel >= shape.channels) return;
  const int64_t group = channel / (shape.channels / shape.groups);
  double of_weight = 0.0, of_bias = 0.0;
  for (int64_t sample = 0; sample < shape.samples; ++sample) {
    const double inverse = statistics[(shape.samples + sample) * shape.groups + group];
    of_bias += totals[sample * 2 * shape.channels + channel];
    of_weight += totals[(sample * 2 + 1) * shape.channels + channel] * inverse;
  }
  to_weight[channel] = float(of_weight);
  to_bias[channel] = float(of_bias);
}

// The gradient before the activation is computed anew: to keep it in bfloat16 would cost its digits.
template <typename Value, int kValues>
__global__ void __launch_bounds__(kThreads)
    input_gradient_kernel(NormOperands<Value> norm, Tiling tiling, const Value* __restrict__ gradient,
                          const Value* __restrict__ y, const float* __restrict__ shifts,
                          Value* __restrict__ to_x) {
  const NormShape& shape = norm.shape;
  const Place<kValues> place(shape, tiling);
  if (!place.works) return;
  const OwnChannels<kValues> own(norm, place.sample, place.channel);
  float offset[kValues], slope[kValues];
#pragma unroll
  for (int i = 0; i < kValues; ++i) {
    const int64_t group = (place.channel + i) / (shape.channels / shape.groups);
    offset[i] = shifts[2 * (place.sample * shape.groups + group)];
    slope[i] = shifts[2 * (place.sample * shape.groups + group) + 1];
  }
#pragma unroll 4
  for (int64_t voxel = place.first; voxel < place.end; voxel += place.step) {
    const int64_t at = place.at(shape, voxel);
    const VoxelGradient<kValues> voxel_gradient(norm, own, gradient, y, at);
    Pack<Value, kValues> found;
#pragma unroll
    for (int i = 0; i < kValues; ++i) {
      found.values[i] = from_float<Value>(voxel_gradient.before[i] * own.scale[i] +
                                          voxel_gradient.off[i] * slope[i] + offset[i]);
    }
    *reinterpret_cast<Pack<Value, kValues>*>(to_x + at) = found;
  }
}

// start(values of a load, tiling). From the shape alone, so that a part is the same wherever tensors lie: loads of one value
// where packs do not fit.
template <typename Value, typename Start>
auto tiled(const NormShape& shape, const Start& start) {
  if (shape.channels % kWide<Value> == 0)
    return start(std::integral_constant<int, kWide<Value>>(), tiling_of(shape, kWide<Value>));
  return start(std::integral_constant<int, 1>(), tiling_of(shape, 1));
}

size_t room_for_rows(const Tiling& tiling, int values) {
  return size_t(2 * tiling.rows * tiling.columns * values) * sizeof(double);
}

}  // namespace

template <typename Value>
int64_t norm_parts(const NormShape& shape) {
  return tiled<Value>(shape, [](auto, const Tiling& tiling) { return tiling.parts; });
}

template <typename Value>
void norm_statistics(const NormShape& shape, const Value* x, double* sums, float* statistics,
                     cudaStream_t stream) {
  tiled<Value>(shape, [&](auto values, const Tiling& tiling) {
    launch(moments_kernel<Value, values()>, blocks_of(shape, tiling), dim3(kThreads),
           room_for_rows(tiling, values()), stream, shape, tiling, x, sums);
    launch(statistics_kernel<Value>, dim3(unsigned(shape.samples * shape.groups)), dim3(kWarpThreads), 0,
           stream, shape, tiling.parts, x, sums, statistics);
  });
}

template <typename Value>
void normalise(const NormOperands<Value>& norm, const Value* residual, Value* y, cudaStream_t stream) {
  tiled<Value>(norm.shape, [&](auto values, const Tiling& tiling) {
    launch(normalise_kernel<Value, values()>, blocks_of(norm.shape, tiling), dim3(kThreads), 0, stream, norm,
           tiling, residual, y);
  });
}

template <typename Value>
void sum_norm_gradient(const NormOperands<Value>& norm, const Value* gradient, const Value* y, Value* before,
                       double* sums, cudaStream_t stream) {
  tiled<Value>(norm.shape, [&](auto values, const Tiling& tiling) {
    launch(gradient_sums_kernel<Value, values()>, blocks_of(norm.shape, tiling), dim3(kThreads),
           room_for_rows(tiling, values()), stream, norm, tiling, gradient, y, before, sums);
  });
}

void finish_norm_gradient(const NormShape& shape, int64_t parts, const double* sums, const float* statistics,
                          const float* weight, double* totals, float* shifts, float* to_weight,
                          float* to_bias, cudaStream_t stream) {
  launch(shifts_kernel, dim3(unsigned(shape.samples * shape.groups)), dim3(kWarpThreads), 0, stream, shape,
         parts, sums, statistics, weight, totals, shifts);
  launch(parameters_kernel, dim3(unsigned(divided(shape.channels, kParameterThreads))),
         dim3(kParameterThreads), 0, stream, shape, totals, statistics, to_weight, to_bias);
}

template <typename Value>
void norm_input_gradient(const NormOperands<Value>& norm, const Value* gradient, const Value* y,
                         const float* shifts, Value* to_x, cudaStream_t stream) {
  tiled<Value>(norm.shape, [&](auto values, const Tiling& tiling) {
    launch(input_gradient_kernel<Value, values()>, blocks_of(norm.shape, tiling), dim3(kThreads), 0, stream,
           norm, tiling, gradient, y, shifts, to_x);
  });
}

#define FOR_TYPE(Value)                                                                                  \
  template int64_t norm_parts<Value>(const NormShape&);                                                  \
  template void norm_statistics<Value>(const NormShape&, const Value*, double*, float*, cudaStream_t);   \
  template void normalise<Value>(const NormOperands<Value>&, const Value*, Value*, cudaStream_t);        \
  template void sum_norm_gradient<Value>(const NormOperands<Value>&, const Value*, const Value*, Value*, \
                                         double*, cudaStream_t);                                         \
  template void norm_input_gradient<Value>(const NormOperands<Value>&, const Value*, const Value*,       \
                                           const float*, Value*, cudaStream_t)
FOR_TYPE(float);
FOR_TYPE(Bfloat16);
#undef FOR_TYPE

}  // namespace transfer_limits::cuda
