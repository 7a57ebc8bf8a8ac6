#include "kernels/gelu_grn_cuda.h"
#include "kernels/simd_math.h"

namespace transfer_limits::cuda {
namespace {

constexpr int kLanes = 16;       // threads that share a row
constexpr int kRowsAtOnce = 16;  // of a block
constexpr int kThreads = kLanes * kRowsAtOnce;
constexpr int kBatch = 4;                             // rows that a thread loads before it needs the first
constexpr int64_t kLeastRows = kRowsAtOnce * kBatch;  // of a part
constexpr int64_t kMostRows = 8 * kLeastRows;         // few enough for sums in float
constexpr int64_t kManyBlocks = 1024;                 // more than a device runs at once

// In one piece: left to itself, the compiler stores values as soon as it has them, four partial writes for one.
template <typename Value, int kValues>
__device__ void store(const Pack<Value, kValues>& pack, Value* to) {
  if constexpr (sizeof(pack) == sizeof(uint4)) {
    uint4 word;
    memcpy(&word, &pack, sizeof(word));
    __stcg(reinterpret_cast<uint4*>(to), word);
  } else {
    *reinterpret_cast<Pack<Value, kValues>*>(to) = pack;
  }
}

__device__ Normal fast_normal_at(float x) {
  return normal_from(x, __expf(-0.5f * x * x), __fdividef(1.0f, 1.0f + kNormalRate * fabsf(x)));
}

// What a thread computes for one row, activation or its derivative; both write over what `rows` holds.
template <typename Value, bool kBackward>
struct Job {
  const Value* hidden;
  const float *bias, *keep;
  Value* rows;
  double* sums;
  const float* slope = nullptr;  // the derivative's alone
};

// A block takes a part of a sample's rows and 16 packs of features of them. Sums of a thread are float over at most
// 32 rows; from there on they are double, in an order that is always the same.
template <typename Value, bool kBackward, int kValues>
__global__ void __launch_bounds__(kThreads, kBackward ? 2 : 3)
    rows_kernel(Job<Value, kBackward> job, FeatureRows shape, int64_t parts, int64_t part_rows) {
  using Own = Pack<Value, kValues>;
  DYNAMIC_SHARED(shared);
  double* block_sums = reinterpret_cast<double*>(shared);  // [rows at once, lanes * values]
  constexpr int kColumns = kLanes * kValues;
  const int lane = int(threadIdx.x) % kLanes, own_row = int(threadIdx.x) / kLanes;
  const int64_t sample = int64_t(blockIdx.x) / parts, part = int64_t(blockIdx.x) % parts;
  const int64_t first_column = int64_t(blockIdx.y) * kColumns, column = first_column + lane * kValues;
  const int64_t end = min((part + 1) * part_rows, shape.voxels);
  float sums[kValues];
#pragma unroll
  for (int i = 0; i < kValues; ++i) sums[i] = 0.0f;
  if (column < shape.features) {
    float bias[kValues], slope[kValues];
#pragma unroll
    for (int i = 0; i < kValues; ++i) {
      bias[i] = job.bias[column + i];
      slope[i] = kBackward ? job.slope[sample * shape.features + column + i] : 0.0f;
    }
    for (int64_t voxel = part * part_rows + own_row; voxel < end; voxel += kRowsAtOnce * kBatch) {
      Own hidden[kBatch], gradient[kBatch];
      float keep[kBatch];
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int64_t row = sample * shape.voxels + voxel + i * kRowsAtOnce;
        if (voxel + i * kRowsAtOnce >= end) break;
        hidden[i] = *reinterpret_cast<const Own*>(job.hidden + row * shape.features + column);
        if (kBackward) gradient[i] = *reinterpret_cast<const Own*>(job.rows + row * shape.features + column);
        keep[i] = job.keep == nullptr ? 1.0f : job.keep[row];
      }
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int64_t row = sample * shape.voxels + voxel + i * kRowsAtOnce;
        if (voxel + i * kRowsAtOnce >= end) break;
        Own answer;
#pragma unroll
        for (int k = 0; k < kValues; ++k) {
          const float x = to_float(hidden[i].values[k]) + bias[k];
          const Normal normal = fast_normal_at(x);
          const float activated = x * normal.below * keep[i];
          if (kBackward) {
            const float value = (to_float(gradient[i].values[k]) + activated * slope[k]) *
                                (keep[i] * (normal.below + x * normal.density));
            answer.values[k] = from_float<Value>(value);
            sums[k] += value;
          } else {
            answer.values[k] = from_float<Value>(activated);
            sums[k] += activated * activated;
          }
        }
        store(answer, job.rows + row * shape.features + column);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kValues; ++i) {
    block_sums[own_row * kColumns + lane * kValues + i] = double(sums[i]);
  }
  __syncthreads();
  for (int i = int(threadIdx.x); i < kColumns; i += kThreads) {
    if (first_column + i >= shape.features) continue;
    double sum = 0.0;
    for (int row = 0; row < kRowsAtOnce; ++row) sum += block_sums[row * kColumns + i];
    job.sums[(sample * parts + part) * shape.features + first_column + i] = sum;
  }
}

constexpr int kWeightColumns = 32, kWeightRows = 32;  // of a block, at once

__global__ void __launch_bounds__(kWeightColumns* kWeightRows)
    weight_kernel(int64_t outputs, int64_t features, float* __restrict__ plain,
                  const float* __restrict__ weight, const float* __restrict__ scale,
                  const float* __restrict__ to_bias, const float* __restrict__ beta,
                  float* __restrict__ to_scale) {
  DYNAMIC_SHARED(shared);
  double* sums = reinterpret_cast<double*>(shared);  // [rows, columns]
  const int lane = int(threadIdx.x) % kWeightColumns, own = int(threadIdx.x) / kWeightColumns;
  const int64_t column = int64_t(blockIdx.x) * kWeightColumns + lane;
  double sum = 0.0;
  if (column < features) {
    const float factor = scale[column], offset = beta[column];
#pragma unroll 4
    for (int64_t row = own; row < outputs; row += kWeightRows) {
      const int64_t at = row * features + column;
      const float value = plain[at];
      sum += double(weight[at]) * double(value);
      plain[at] = value * factor + to_bias[row] * offset;
    }
  }
  sums[threadIdx.x] = sum;
  __syncthreads();
  if (own > 0 || column >= features) return;
  for (int row = 1; row < kWeightRows; ++row) sum += sums[row * kWeightColumns + lane];
  to_scale[column] = float(sum);
}

// How many columns a block has where loads are as wide as they can be.
template <typename Value>
constexpr int64_t kBlockColumns = kLanes * kPackBytes / int64_t(sizeof(Value));

// From the shape alone: the sums are the same on every device.
template <typename Value>
int64_t part_rows_of(const FeatureRows& rows) {
  const int64_t columns = divided(rows.features, kBlockColumns<Value>);
  int64_t part_rows = kMostRows;
  while (part_rows > kLeastRows && rows.samples * columns * divided(rows.voxels, part_rows) < kManyBlocks) {
    part_rows /= 2;
  }
  return part_rows;
}

template <typename Value>
bool is_aligned(const Value* values) {
  return reinterpret_cast<uintptr_t>(values) % kPackBytes == 0;
}

template <typename Value, bool kBackward, int kValues>
void start_rows(const Job<Value, kBackward>& job, const FeatureRows& rows, cudaStream_t stream) {
  const int64_t parts = gelu_parts<Value>(rows);
  launch(rows_kernel<Value, kBackward, kValues>,
         dim3(unsigned(rows.samples * parts), unsigned(divided(rows.features, kLanes * kValues))),
         dim3(kThreads), sizeof(double) * kThreads * kValues, stream, job, rows, parts,
         part_rows_of<Value>(rows));
}

template <typename Value, bool kBackward>
void start(const Job<Value, kBackward>& job, const FeatureRows& rows, cudaStream_t stream) {
  constexpr int kValues = kPackBytes / int(sizeof(Value));
  const bool wide = rows.features % kValues == 0 && is_aligned(job.hidden) && is_aligned<Value>(job.rows);
  const auto begin = wide ? &start_rows<Value, kBackward, kValues> : &start_rows<Value, kBackward, 1>;
  begin(job, rows, stream);
}

}  // namespace

template <typename Value>
int64_t gelu_parts(const FeatureRows& rows) {
  return divided(rows.voxels, part_rows_of<Value>(rows));
}

template <typename Value>
void gelu_with_squares(const FeatureRows& rows, const Value* hidden, const float* bias, const float* keep,
                       Value* out, double* squares, cudaStream_t stream) {
  start(Job<Value, false>{hidden, bias, keep, out, squares}, rows, stream);
}

template <typename Value>
void gelu_backward(const FeatureRows& rows, Value* gradient, const Value* hidden, const float* bias,
                   const float* keep, const float* slope, double* sums, cudaStream_t stream) {
  start(Job<Value, true>{hidden, bias, keep, gradient, sums, slope}, rows, stream);
}

void scale_weight_gradient(int64_t outputs, int64_t features, float* plain, const float* weight,
                           const float* scale, const float* to_bias, const float* beta, float* to_scale,
                           cudaStream_t stream) {
  launch(weight_kernel, dim3(unsigned(divided(features, kWeightColumns))), dim3(kWeightColumns * kWeightRows),
         sizeof(double) * kWeightColumns * kWeightRows, stream, outputs, features, plain, weight, scale,
         to_bias, beta, to_scale);
}

#define FOR_VALUE(Value)                                                                                \
  template int64_t gelu_parts<Value>(const FeatureRows&);                                               \
  template void gelu_with_squares(const FeatureRows&, const Value*, const float*, const float*, Value*, \
                                  double*, cudaStream_t);                                               \
  template void gelu_backward(const FeatureRows&, Value*, const Value*, const float*, const float*,     \
                              const float*, double*, cudaStream_t);
FOR_VALUE(float)
FOR_VALUE(Bfloat16)
#undef FOR_VALUE

}  // namespace transfer_limits::cuda
