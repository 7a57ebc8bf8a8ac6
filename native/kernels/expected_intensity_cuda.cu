#include "kernels/expected_intensity_cuda.h"

namespace transfer_limits::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kQuad = 4;  // bins of a lane
constexpr unsigned kWarp = 0xffffffffu;

// Along one axis: the cell that begins at voxel c of the logits holds the voxels begin[c] to begin[c + 1] of the
// resized volume, and the second of its ends has `weight` in them.
struct Axis {
  int from, to;
  const int32_t* begin;  // [from + 1]
  const float* weight;   // [to]
  // Whether the voxels of a cell lie between two of the logits.
  __host__ __device__ bool blends() const { return from != to && from > 1; }
};

struct Axes {
  Axis depth, height, width;
};

__host__ __device__ Axis axis_at(int64_t from, int64_t to, const int32_t*& table) {
  const Axis axis{int(from), int(to), table, reinterpret_cast<const float*>(table + from + 1)};
  table += from + 1 + to;
  return axis;
}

__host__ __device__ Axes axes_of(const IntensitySizes& sizes, const int32_t* table) {
  const Axis depth = axis_at(sizes.depth, sizes.to_depth, table);
  const Axis height = axis_at(sizes.height, sizes.to_height, table);
  return {depth, height, axis_at(sizes.width, sizes.to_width, table)};
}

// Voxel `index` of the resized axis, in voxels of the logits: as in LibTorch without aligned corners.
__device__ double source_of(const Axis& axis, int index) {
  return max(0.0, fma(double(index) + 0.5, double(axis.from) / double(axis.to), -0.5));
}

__device__ int first_of(const Axis& axis, int index) {
  return min(int(source_of(axis, index)), axis.from - 1);
}

__global__ void __launch_bounds__(kThreads) table_kernel(IntensitySizes sizes, int32_t* table) {
  const Axes axes = axes_of(sizes, table);
  const Axis axis = blockIdx.y == 0 ? axes.depth : blockIdx.y == 1 ? axes.height : axes.width;
  int32_t* begin = table + (axis.begin - table);
  float* weight = reinterpret_cast<float*>(begin + axis.from + 1);
  const int index = int(blockIdx.x) * kThreads + int(threadIdx.x);
  if (index >= axis.to) return;
  const int first = first_of(axis, index);
  // Beyond the last voxel there is none to blend with.
  weight[index] = first == axis.from - 1 ? 0.0f : float(source_of(axis, index) - double(first));
  for (int cell = index == 0 ? 0 : first_of(axis, index - 1) + 1; cell <= first; ++cell) begin[cell] = index;
  if (index + 1 < axis.to) return;
  for (int cell = first + 1; cell <= axis.from; ++cell) begin[cell] = axis.to;
}

struct alignas(16) Quad {
  float values[kQuad];
};

// Whether four bins can be loaded at once.
__host__ __device__ bool is_wide(const void* values, int64_t bins) {
  return bins % kQuad == 0 && reinterpret_cast<uintptr_t>(values) % sizeof(Quad) == 0;
}

__device__ Quad load_quad(const float* voxel, int first, int bins, bool wide) {
  Quad quad{{0.0f, 0.0f, 0.0f, 0.0f}};
  if (wide) {
    if (first < bins) quad = *reinterpret_cast<const Quad*>(voxel + first);
    return quad;
  }
#pragma unroll
  for (int i = 0; i < kQuad; ++i) {
    if (first + i < bins) quad.values[i] = voxel[first + i];
  }
  return quad;
}

__device__ void store_quad(const Quad& quad, int first, int bins, bool wide, float* voxel) {
  if (wide) {
    if (first < bins) *reinterpret_cast<Quad*>(voxel + first) = quad;
    return;
  }
#pragma unroll
  for (int i = 0; i < kQuad; ++i) {
    if (first + i < bins) voxel[first + i] = quad.values[i];
  }
}

__device__ Quad blend(const Quad& first, const Quad& second, float weight) {
  Quad quad;
#pragma unroll
  for (int i = 0; i < kQuad; ++i) {
    quad.values[i] = fmaf(weight, second.values[i] - first.values[i], first.values[i]);
  }
  return quad;
}

// The way back of `blend`.
__device__ void add_blended(Quad& first, Quad& second, const Quad& gradient, float weight) {
#pragma unroll
  for (int i = 0; i < kQuad; ++i) {
    first.values[i] = fmaf(1.0f - weight, gradient.values[i], first.values[i]);
    second.values[i] = fmaf(weight, gradient.values[i], second.values[i]);
  }
}

// Over the lanes of a cell, for several voxels at once: each step takes longer than it occupies the processor.
template <int kLanes, int kCount>
__device__ void largest_of_lanes(float (&values)[kCount]) {
#pragma unroll
  for (int mask = kLanes / 2; mask > 0; mask /= 2) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      values[i] = fmaxf(values[i], __shfl_xor_sync(kWarp, values[i], mask));
    }
  }
}

template <int kLanes, int kCount>
__device__ void sum_of_lanes(float (&values)[kCount]) {
#pragma unroll
  for (int mask = kLanes / 2; mask > 0; mask /= 2) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) values[i] += __shfl_xor_sync(kWarp, values[i], mask);
  }
}

// The most that any cell of the warp has: its lanes go through their cells together.
template <int kLanes>
__device__ int most_of_cells(int count) {
#pragma unroll
  for (int mask = kLanes; mask < 32; mask *= 2) count = max(count, __shfl_xor_sync(kWarp, count, mask));
  return count;
}

// The voxels of a cell along one axis.
template <int kLanes>
struct Range {
  int begin, count, most;
  const float* weight;
  int last;
  __device__ Range(const Axis& axis, int cell, bool exists)
      : begin(axis.begin[cell]),
        count(exists ? axis.begin[cell + 1] - begin : 0),
        most(most_of_cells<kLanes>(count)),
        weight(axis.weight),
        last(axis.to - 1) {}
  // One that exists, for whichever of the warp's.
  __device__ int at(int step) const { return min(begin + step, last); }
};

// As many lanes as hold all bins, four each, share a cell and go over its voxels. Going back, the answers are there,
// and what they give to the logits is summed along width, height and depth to the corners of the cell. `kAtOnce`
// voxels along the width are computed beside each other.
template <int kLanes, bool kBackward, int kAtOnce>
__global__ void __launch_bounds__(kThreads, kBackward ? 3 : 4)
    cells_kernel(IntensitySizes sizes, const int32_t* __restrict__ table, const float* __restrict__ logits,
                 const float* __restrict__ centres, float* __restrict__ answer,
                 const float* __restrict__ gradient, float* __restrict__ cells) {
  const Axes axes = axes_of(sizes, table);
  const int bins = int(sizes.bins), first = int(threadIdx.x) % kLanes * kQuad;
  const int64_t count = sizes.batch * sizes.depth * sizes.height * sizes.width;
  const int64_t wanted = int64_t(blockIdx.x) * (kThreads / kLanes) + int(threadIdx.x) / kLanes;
  const bool exists = wanted < count;
  const int64_t cell = exists ? wanted : count - 1;  // lanes without a cell of their own stay for the others
  const int x = int(cell % sizes.width), y = int(cell / sizes.width % sizes.height);
  const int z = int(cell / (sizes.width * sizes.height) % sizes.depth);
  const int64_t sample = cell / (sizes.width * sizes.height * sizes.depth);
  const Range<kLanes> depth(axes.depth, z, exists), height(axes.height, y, exists),
      width(axes.width, x, exists);

  // To the next voxel of the logits along each axis, if there is one to blend with.
  const int64_t next_x = axes.width.blends() && x + 1 < sizes.width ? bins : 0;
  const int64_t next_y = axes.height.blends() && y + 1 < sizes.height ? sizes.width * bins : 0;
  const int64_t next_z = axes.depth.blends() && z + 1 < sizes.depth ? sizes.height * sizes.width * bins : 0;
  const float* corner = logits + cell * bins;
  const bool wide = is_wide(logits, bins);
  const Quad centre = load_quad(centres, first, bins, false);

  Quad to_corners[2][2][2] = {};
#pragma unroll 1
  for (int step_z = 0; step_z < depth.most; ++step_z) {
    const int to_z = depth.at(step_z);
    const float weight_z = depth.weight[to_z];
    Quad columns[2][2], to_columns[2][2] = {};
#pragma unroll
    for (int j = 0; j < 2; ++j) {
#pragma unroll
      for (int k = 0; k < 2; ++k) {
        const float* from = corner + j * next_y + k * next_x;
        columns[j][k] =
            blend(load_quad(from, first, bins, wide), load_quad(from + next_z, first, bins, wide), weight_z);
      }
    }
#pragma unroll 1
    for (int step_y = 0; step_y < height.most; ++step_y) {
      const int to_y = height.at(step_y);
      const float weight_y = height.weight[to_y];
      const Quad ends[2] = {blend(columns[0][0], columns[1][0], weight_y),
                            blend(columns[0][1], columns[1][1], weight_y)};
      Quad to_ends[2] = {};
      const int64_t row = ((sample * sizes.to_depth + to_z) * sizes.to_height + to_y) * sizes.to_width;
#pragma unroll 1
      for (int step_x = 0; step_x < width.most; step_x += kAtOnce) {
        Quad shares[kAtOnce];  // not yet divided by their sum
        float largest[kAtOnce], sum[kAtOnce], weighted[kAtOnce];
#pragma unroll
        for (int v = 0; v < kAtOnce; ++v) {
          shares[v] = blend(ends[0], ends[1], width.weight[width.at(step_x + v)]);
          largest[v] = -INFINITY;
#pragma unroll
          for (int i = 0; i < kQuad; ++i) {
            if (first + i < bins) largest[v] = fmaxf(largest[v], shares[v].values[i]);
          }
        }
        largest_of_lanes<kLanes>(largest);
#pragma unroll
        for (int v = 0; v < kAtOnce; ++v) {
          sum[v] = weighted[v] = 0.0f;
#pragma unroll
          for (int i = 0; i < kQuad; ++i) {
            float& share = shares[v].values[i];
            share = first + i < bins ? __expf(share - largest[v]) : 0.0f;
            sum[v] += share;
            weighted[v] = fmaf(share, centre.values[i], weighted[v]);
          }
        }
        sum_of_lanes<kLanes>(sum);
        if (!kBackward) sum_of_lanes<kLanes>(weighted);
#pragma unroll
        for (int v = 0; v < kAtOnce; ++v) {
          if (step_z >= depth.count || step_y >= height.count || step_x + v >= width.count) continue;
          const int64_t to = row + width.at(step_x + v);
          if (!kBackward) {
            if (first == 0) answer[to] = weighted[v] / sum[v];
            continue;
          }
          const float factor = gradient[to] / sum[v], expectation = answer[to];
#pragma unroll
          for (int i = 0; i < kQuad; ++i) {
            shares[v].values[i] *= factor * (centre.values[i] - expectation);
          }
          add_blended(to_ends[0], to_ends[1], shares[v], width.weight[width.at(step_x + v)]);
        }
      }
      if (kBackward) {
        add_blended(to_columns[0][0], to_columns[1][0], to_ends[0], weight_y);
        add_blended(to_columns[0][1], to_columns[1][1], to_ends[1], weight_y);
      }
    }
    if (kBackward) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
#pragma unroll
        for (int k = 0; k < 2; ++k) {
          add_blended(to_corners[0][j][k], to_corners[1][j][k], to_columns[j][k], weight_z);
        }
      }
    }
  }
  if (!kBackward || !exists) return;
  const int ends_z = axes.depth.blends() ? 2 : 1, ends_y = axes.height.blends() ? 2 : 1;
  const int ends_x = axes.width.blends() ? 2 : 1;
  float* to = cells + cell * ends_z * ends_y * ends_x * bins;
  const bool wide_cells = is_wide(cells, bins);
#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int j = 0; j < 2; ++j) {
#pragma unroll
      for (int k = 0; k < 2; ++k) {
        if (i >= ends_z || j >= ends_y || k >= ends_x) continue;
        store_quad(to_corners[i][j][k], first, bins, wide_cells, to + ((i * ends_y + j) * ends_x + k) * bins);
      }
    }
  }
}

// A voxel of the logits is a corner of the cell that begins there and of those before.
__global__ void __launch_bounds__(kThreads)
    gather_kernel(IntensitySizes sizes, const float* __restrict__ cells, float* __restrict__ result) {
  const Axes axes = axes_of(sizes, nullptr);
  const int ends_z = axes.depth.blends() ? 2 : 1, ends_y = axes.height.blends() ? 2 : 1;
  const int ends_x = axes.width.blends() ? 2 : 1;
  const int64_t index = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t voxel = index / sizes.bins, bin = index % sizes.bins;
  if (voxel >= sizes.batch * sizes.depth * sizes.height * sizes.width) return;
  const int64_t x = voxel % sizes.width, y = voxel / sizes.width % sizes.height;
  const int64_t z = voxel / (sizes.width * sizes.height) % sizes.depth;
  const int64_t cell = sizes.bins * ends_z * ends_y * ends_x;  // values of one
  const float* own = cells + voxel * cell + bin;
  float sum = 0.0f;
#pragma unroll 1
  for (int i = 0; i < ends_z && i <= z; ++i) {
#pragma unroll
    for (int j = 0; j < 2; ++j) {
#pragma unroll
      for (int k = 0; k < 2; ++k) {
        if (j >= ends_y || j > y || k >= ends_x || k > x) continue;
        const int64_t before = (i * sizes.height + j) * sizes.width + k;  // cells
        sum += own[((i * ends_y + j) * ends_x + k) * sizes.bins - before * cell];
      }
    }
  }
  result[index] = sum;
}

int64_t voxels_of(const IntensitySizes& sizes) {
  return sizes.batch * sizes.depth * sizes.height * sizes.width;
}

template <int kLanes, bool kBackward>
void start_cells(const IntensitySizes& sizes, const int32_t* table, const float* logits, const float* centres,
                 float* answer, const float* gradient, float* cells, cudaStream_t stream) {
  constexpr int kAtOnce = kBackward ? 2 : 4;  // as many as registers are left for
  const bool several = sizes.to_width >= 2 * sizes.width;
  const auto kernel =
      several ? &cells_kernel<kLanes, kBackward, kAtOnce> : &cells_kernel<kLanes, kBackward, 1>;
  launch(kernel, dim3(unsigned(divided(voxels_of(sizes), kThreads / kLanes))), dim3(kThreads), 0, stream,
         sizes, table, logits, centres, answer, gradient, cells);
}

template <bool kBackward>
void go_over_cells(const IntensitySizes& sizes, const int32_t* table, const float* logits,
                   const float* centres, float* answer, const float* gradient, float* cells,
                   cudaStream_t stream) {
  const auto start = sizes.bins <= 8 * kQuad    ? &start_cells<8, kBackward>
                     : sizes.bins <= 16 * kQuad ? &start_cells<16, kBackward>
                                                : &start_cells<32, kBackward>;
  start(sizes, table, logits, centres, answer, gradient, cells, stream);
}

}  // namespace

int64_t intensity_table_values(const IntensitySizes& sizes) {
  return sizes.depth + sizes.height + sizes.width + 3 + sizes.to_depth + sizes.to_height + sizes.to_width;
}

void fill_intensity_table(const IntensitySizes& sizes, int32_t* table, cudaStream_t stream) {
  const int64_t longest = std::max({sizes.to_depth, sizes.to_height, sizes.to_width});
  launch(table_kernel, dim3(unsigned(divided(longest, kThreads)), 3), dim3(kThreads), 0, stream, sizes,
         table);
}

void expect_intensity(const IntensitySizes& sizes, const int32_t* table, const float* logits,
                      const float* centres, float* answer, cudaStream_t stream) {
  go_over_cells<false>(sizes, table, logits, centres, answer, nullptr, nullptr, stream);
}

int64_t intensity_corners(const IntensitySizes& sizes) {
  const Axes axes = axes_of(sizes, nullptr);
  return (axes.depth.blends() ? 2 : 1) * (axes.height.blends() ? 2 : 1) * (axes.width.blends() ? 2 : 1);
}

void differentiate_intensity(const IntensitySizes& sizes, const int32_t* table, const float* logits,
                             const float* centres, const float* answer, const float* gradient, float* cells,
                             cudaStream_t stream) {
  go_over_cells<true>(sizes, table, logits, centres, const_cast<float*>(answer), gradient, cells, stream);
}

void gather_cells(const IntensitySizes& sizes, const float* cells, float* result, cudaStream_t stream) {
  launch(gather_kernel, dim3(unsigned(divided(voxels_of(sizes) * sizes.bins, kThreads))), dim3(kThreads), 0,
         stream, sizes, cells, result);
}

}  // namespace transfer_limits::cuda
