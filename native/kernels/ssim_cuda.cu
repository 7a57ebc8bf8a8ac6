#include "kernels/ssim_cuda.h"

namespace transfer_limits::cuda {
namespace {

constexpr int kReach = int(kSsimWindow) - 1;  // by which windows are fewer than voxels
constexpr int kFields = 4;                    // what is filtered at once
constexpr int kTile = 16;                     // outputs of a block along height and along width
constexpr int kSide = kTile + kReach;         // inputs
constexpr int kThreads = kTile * kTile;
constexpr int kRun = 4;                 // neighbouring outputs of a thread, which share their inputs
constexpr int kRuns = kTile / kRun;     // of a row or a column
constexpr int kTileStride = kSide + 1;  // odd, as the next: neighbouring rows in different banks
constexpr int kRowStride = kTile + 1;
constexpr int kTileValues = kSide * kTileStride;
constexpr int kRowValues = kSide * kRowStride;
constexpr int kBlocks = 2;  // a multiprocessor, by their registers
static_assert(kThreads == kFields * kTile * kRuns);

struct Extent {
  int depth, height, width;
  __host__ __device__ int64_t plane() const { return int64_t(height) * width; }
  __host__ __device__ int64_t size() const { return depth * plane(); }
};

// How outputs are divided among blocks: tiles of a plane, and along the depth `chunk` planes.
struct Division {
  int rows, columns, chunks, chunk;
  __host__ __device__ int blocks() const { return rows * columns * chunks; }  // of one volume
};

// What the filter does on the way there: the moments of two volumes, of whose local means the similarity is made.
template <typename Number>
struct Similarity {
  using Value = Number;
  static constexpr int kInputs = 2;
  static constexpr bool kSums = true;
  const Value* inputs[kInputs];
  SsimMaps<Value> derivatives;
  double* sums;
  double c1, c2;

  __device__ bool has(int) const { return true; }

  __device__ void spread(const double* values, double* fields) const {
    const double a = values[0], b = values[1];
    fields[0] = a;
    fields[1] = b;
    fields[2] = a * a + b * b;
    fields[3] = a * b;
  }

  // The similarity at the window with that index.
  __device__ double finish(int64_t, int64_t index, const double* means) const {
    const double a = means[0], b = means[1];
    const double luminance = 2.0 * a * b + c1, structure = 2.0 * (means[3] - a * b) + c2;
    const double energy = a * a + b * b;
    const double light = energy + c1, variances = means[2] - energy + c2;
    const double both = 1.0 / (light * variances);  // one division for three quotients
    const double over_light = variances * both, over_variances = light * both;
    const double similar = luminance * structure * both;
    const double product = 2.0 * luminance * both, squares = -similar * over_variances;
    const double cross = 2.0 * structure * both - product, own = -2.0 * (similar * over_light + squares);
    if (derivatives.to_mean_a != nullptr) derivatives.to_mean_a[index] = Value(b * cross + a * own);
    if (derivatives.to_mean_b != nullptr) derivatives.to_mean_b[index] = Value(a * cross + b * own);
    if (derivatives.to_squares != nullptr) derivatives.to_squares[index] = Value(squares);
    if (derivatives.to_product != nullptr) derivatives.to_product[index] = Value(product);
    return similar;
  }
};

// And on the way back: the derivatives at all windows that hold a voxel, weighted and added.
template <typename Number>
struct Gradients {
  using Value = Number;
  static constexpr int kInputs = kFields;
  static constexpr bool kSums = false;
  const Value* inputs[kInputs];  // to the means of a and b, or null, to the squares, to the product
  const Value *a, *b;
  const double* factors;
  int64_t channels;
  double scale;
  Value *to_a, *to_b;
  unsigned used;  // the fields that are there, as bits
  double* sums = nullptr;

  __device__ bool has(int field) const { return (used >> field & 1) != 0; }

  __device__ void spread(const double* values, double* fields) const {
#pragma unroll
    for (int field = 0; field < kFields; ++field) fields[field] = values[field];
  }

  __device__ double finish(int64_t volume, int64_t index, const double* gathered) const {
    const double factor = factors[volume / channels] * scale;
    const double u = double(a[index]), v = double(b[index]);
    if (to_a != nullptr) {
      to_a[index] = Value(factor * (gathered[0] + 2.0 * u * gathered[2] + v * gathered[3]));
    }
    if (to_b != nullptr) {
      to_b[index] = Value(factor * (gathered[1] + 2.0 * v * gathered[2] + u * gathered[3]));
    }
    return 0.0;
  }
};

__device__ bool exists(const Extent& in, int z) { return z >= 0 && z < in.depth; }

// The part of plane z of the inputs that a block's outputs need, whose first row and column are y0 and x0. Each
// thread copies what it reads itself.
template <typename Job>
__device__ void copy_plane(const Job& job, const Extent& in, int64_t volume, int z, int y0, int x0,
                           typename Job::Value* raw) {
  if (!exists(in, z)) return;
  using Value = typename Job::Value;
  const int64_t plane_start = volume * in.size() + z * in.plane();
#pragma unroll
  for (int input = 0; input < Job::kInputs; ++input) {
    const Value* from = job.inputs[input];
    if (from == nullptr) continue;
#pragma unroll 1
    for (int i = int(threadIdx.x); i < kSide * kSide; i += kThreads) {
      const int y = y0 + i / kSide, x = x0 + i % kSide;
      const bool inside = y >= 0 && y < in.height && x >= 0 && x < in.width;
      const int64_t offset = inside ? plane_start + int64_t(y) * in.width + x : 0;
      __pipeline_memcpy_async(raw + input * kSide * kSide + i, from + offset, sizeof(Value),
                              inside ? 0 : sizeof(Value));
    }
  }
  __pipeline_commit();
}

// Four neighbouring outputs of the filter along one axis, of inputs `stride` apart.
__device__ __forceinline__ void filter_run(const SsimWindow& window, const double* in, int stride,
                                           double (&out)[kRun]) {
#pragma unroll
  for (int r = 0; r < kRun; ++r) out[r] = 0.0;
#pragma unroll
  for (int k = 0; k < kRun + kReach; ++k) {
    const double value = in[k * stride];
#pragma unroll
    for (int r = 0; r < kRun; ++r) {
      if (k >= r && k - r <= kReach) out[r] = fma(window.taps[k - r], value, out[r]);
    }
  }
}

// The Gaussian filter over three axes and what becomes of its answers. A block walks along the depth with one plane
// of its tile in shared memory, filters it along width and height, and keeps the sums along the depth in registers:
// those of the ten windows that are not complete yet. An output at o takes inputs from o - shift to o - shift + 10,
// and zero where there are none.
template <typename Job>
__global__ void __launch_bounds__(kThreads, kBlocks)
    filter_kernel(Job job, SsimWindow window, Extent in, Extent out, int shift, Division division) {
  using Value = typename Job::Value;
  DYNAMIC_SHARED(shared);
  double* tile = reinterpret_cast<double*>(shared);  // [fields, side, side + 1]
  double* rows = tile + kFields * kTileValues;       // [fields, side, tile + 1], filtered along the width
  double* means = rows + kFields * kRowValues;       // [fields, tile, tile], filtered along all axes
  Value* raw = reinterpret_cast<Value*>(means + kFields * kThreads);  // [inputs, side, side]

  const int thread = int(threadIdx.x);
  const int64_t volume = int64_t(blockIdx.x) / division.blocks();
  const int block = int(int64_t(blockIdx.x) % division.blocks());
  const int x0 = block % division.columns * kTile, y0 = block / division.columns % division.rows * kTile;
  const int z0 = block / (division.columns * division.rows) * division.chunk;
  const int z1 = min(z0 + division.chunk, out.depth);

  // A thread's own part of the passes along height and depth: one field at four windows of one column.
  const int field = thread / (kTile * kRuns), column = thread % kTile;
  const int first_row = thread / kTile % kRuns * kRun;
  double partial[kRun][kReach];
#pragma unroll
  for (int r = 0; r < kRun; ++r) {
#pragma unroll
    for (int k = 0; k < kReach; ++k) partial[r][k] = 0.0;
  }
  double sum = 0.0;

  copy_plane(job, in, volume, z0 - shift, y0 - shift, x0 - shift, raw);
  for (int z = z0; z < z1 + kReach; ++z) {
    const bool here = exists(in, z - shift), complete = z >= z0 + kReach;
    if (here) {
      __pipeline_wait_prior(0);
#pragma unroll 1
      for (int i = thread; i < kSide * kSide; i += kThreads) {
        double values[Job::kInputs], fields[kFields];
#pragma unroll
        for (int input = 0; input < Job::kInputs; ++input) {
          values[input] = job.inputs[input] == nullptr ? 0.0 : double(raw[input * kSide * kSide + i]);
        }
        job.spread(values, fields);
        double* to = tile + i / kSide * kTileStride + i % kSide;
#pragma unroll
        for (int f = 0; f < kFields; ++f) to[f * kTileValues] = fields[f];
      }
    }
    __syncthreads();
    if (z + 1 < z1 + kReach) {
      copy_plane(job, in, volume, z + 1 - shift, y0 - shift, x0 - shift, raw);
    }
    if (here) {
#pragma unroll 1
      for (int task = thread; task < kFields * kSide * kRuns; task += kThreads) {
        const int x = task % kRuns * kRun, row = task / kRuns % kSide, f = task / (kRuns * kSide);
        if (!job.has(f)) continue;
        double filtered[kRun];
        filter_run(window, tile + f * kTileValues + row * kTileStride + x, 1, filtered);
        double* to = rows + f * kRowValues + row * kRowStride + x;
#pragma unroll
        for (int r = 0; r < kRun; ++r) to[r] = filtered[r];
      }
    }
    __syncthreads();
    if (job.has(field)) {
      double filtered[kRun] = {0.0, 0.0, 0.0, 0.0};
      if (here) {
        filter_run(window, rows + field * kRowValues + first_row * kRowStride + column, kRowStride, filtered);
      }
#pragma unroll
      for (int r = 0; r < kRun; ++r) {
        if (complete) {
          means[field * kThreads + (first_row + r) * kTile + column] =
              fma(window.taps[kReach], filtered[r], partial[r][0]);
        }
#pragma unroll
        for (int k = 0; k + 1 < kReach; ++k) {
          partial[r][k] = fma(window.taps[kReach - 1 - k], filtered[r], partial[r][k + 1]);
        }
        partial[r][kReach - 1] = window.taps[0] * filtered[r];
      }
    }
    __syncthreads();
    const int y = y0 + thread / kTile, x = x0 + thread % kTile;
    if (complete && y < out.height && x < out.width) {
      double own[kFields];
#pragma unroll
      for (int f = 0; f < kFields; ++f) own[f] = job.has(f) ? means[f * kThreads + thread] : 0.0;
      sum += job.finish(volume, volume * out.size() + (z - kReach) * out.plane() + int64_t(y) * out.width + x,
                        own);
    }
  }
  if (!Job::kSums) return;
  __syncthreads();
  means[thread] = sum;
  for (int half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (thread < half) means[thread] += means[thread + half];
  }
  if (thread == 0) job.sums[blockIdx.x] = means[0];
}

// Each chunk reads ten planes more than it answers, but many small ones fill the device.
Division division_of(int64_t volumes, const Extent& out) {
  Division best{divided<int>(out.height, kTile), divided<int>(out.width, kTile), 0, 0};
  const int64_t tiles = volumes * best.rows * best.columns;
  const int64_t at_once = int64_t{kBlocks} * device_limits().multiprocessors;
  int64_t least = 0;
  for (int chunks = 1; chunks <= std::min(out.depth, 64); ++chunks) {
    const int chunk = divided<int>(out.depth, chunks);
    if (divided<int>(out.depth, chunk) != chunks) continue;
    const int64_t cost = (tiles * chunks + at_once - 1) / at_once * (chunk + kReach);
    if (least != 0 && cost >= least) continue;
    least = cost;
    best.chunks = chunks;
    best.chunk = chunk;
  }
  return best;
}

Extent voxels_of(const SsimGrid& grid) { return {int(grid.depth), int(grid.height), int(grid.width)}; }

Extent windows_of(const SsimGrid& grid) {
  return {int(grid.depth) - kReach, int(grid.height) - kReach, int(grid.width) - kReach};
}

template <typename Job>
void filter(const Job& job, const SsimWindow& window, int64_t volumes, const Extent& in, const Extent& out,
            int shift, cudaStream_t stream) {
  const Division division = division_of(volumes, out);
  const size_t bytes = sizeof(double) * kFields * (kTileValues + kRowValues + kThreads) +
                       sizeof(typename Job::Value) * Job::kInputs * kSide * kSide;
  launch(filter_kernel<Job>, dim3(unsigned(volumes * division.blocks())), dim3(kThreads), bytes, stream, job,
         window, in, out, shift, division);
}

}  // namespace

int64_t ssim_parts(const SsimGrid& grid) { return division_of(grid.volumes, windows_of(grid)).blocks(); }

template <typename Value>
void ssim_similarity(const SsimGrid& grid, const SsimWindow& window, const Value* a, const Value* b,
                     const SsimMaps<Value>& derivatives, double* sums, cudaStream_t stream) {
  const Similarity<Value> job{{a, b}, derivatives, sums, window.c1, window.c2};
  filter(job, window, grid.volumes, voxels_of(grid), windows_of(grid), 0, stream);
}

template <typename Value>
void ssim_gradients(const SsimGrid& grid, const SsimWindow& window, const Value* a, const Value* b,
                    const SsimMaps<const Value>& derivatives, const double* factors, int64_t channels,
                    double scale, Value* to_a, Value* to_b, cudaStream_t stream) {
  const Value* inputs[] = {derivatives.to_mean_a, derivatives.to_mean_b, derivatives.to_squares,
                           derivatives.to_product};
  unsigned used = 0;
  for (int field = 0; field < kFields; ++field) {
    if (inputs[field] != nullptr) used |= 1u << field;
  }
  const Gradients<Value> job{
      {inputs[0], inputs[1], inputs[2], inputs[3]}, a, b, factors, channels, scale, to_a, to_b, used};
  // A voxel lies in the windows that start up to ten before it; the taps are the same backwards.
  filter(job, window, grid.volumes, windows_of(grid), voxels_of(grid), kReach, stream);
}

#define FOR_VALUE(Value)                                                                                     \
  template void ssim_similarity(const SsimGrid&, const SsimWindow&, const Value*, const Value*,              \
                                const SsimMaps<Value>&, double*, cudaStream_t);                              \
  template void ssim_gradients(const SsimGrid&, const SsimWindow&, const Value*, const Value*,               \
                               const SsimMaps<const Value>&, const double*, int64_t, double, Value*, Value*, \
                               cudaStream_t);
FOR_VALUE(float)
FOR_VALUE(double)
#undef FOR_VALUE

}  // namespace transfer_limits::cuda
