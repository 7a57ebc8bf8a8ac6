#include <algorithm>

#include "kernels/mmd_bfloat16_cuda.h"
#include "kernels/tensor_core.h"

namespace transfer_limits::cuda {
namespace {

constexpr int kThreads = kPairWarps * kWarpThreads;

// Rows are loaded in chunks of 16 bytes, 64 bytes of a row at a time. Which of its four places a chunk takes in shared
// memory depends on the row: the eight rows that a warp reads words of then lie in different banks.
constexpr int kChunkBytes = 16, kRowBytes = kPairStep * int(sizeof(Bfloat16));
constexpr int kRowChunks = kRowBytes / kChunkBytes, kChunkValues = kChunkBytes / int(sizeof(Bfloat16));
constexpr int kTermBytes =
    (kPairTileRows + kPairTileColumns) * kRowBytes;  // the tile's left rows, then its right ones
constexpr int kMostStages = 4;

// A warp's part of a tile: 2 x 4 warps, each with 4 x 8 products of 16 x 8 pairs.
constexpr int kWarpRows = 64, kWarpColumns = 64, kWarpsAcross = kPairTileColumns / kWarpColumns;
constexpr int kDown = kWarpRows / kProductRows, kAcross = kWarpColumns / kProductColumns;
static_assert(kPairTileRows / kWarpRows * kWarpsAcross == kPairWarps);

// Rows that lie eight apart hold their chunks in the same places.
__device__ inline int place_in_row(int row, int chunk) {
  return (chunk ^ (row / 2 % kRowChunks)) * kChunkBytes;
}

__global__ void __launch_bounds__(kThreads)
    split_rows_kernel(const float* __restrict__ set, const double* __restrict__ centre, int64_t features,
                      TermRows out) {
  const int lane = int(threadIdx.x) % kWarpThreads;
  const int64_t row = int64_t(blockIdx.x) * kPairWarps + threadIdx.x / kWarpThreads;
  double norm = 0.0;
  for (int64_t f = lane; f < out.padded_features; f += kWarpThreads) {
    const bool inside = row < out.rows && f < features;
    const float value = inside ? float(double(set[row * features + f]) - centre[f]) : 0.0f;
    const Bfloat16 high = from_float<Bfloat16>(value);
    const double h = double(to_float(high));
    out.high[row * out.padded_features + f] = high;
    if (out.low == nullptr) {
      norm += h * h;
    } else {
      const Bfloat16 low = from_float<Bfloat16>(value - to_float(high));
      out.low[row * out.padded_features + f] = low;
      norm += h * (h + 2.0 * double(to_float(low)));
    }
  }
  norm = sum_over_warp(norm);
  if (lane == 0) out.norms[row] = float(norm);
}

// The tiles that a block works on, one after another.
struct TileCursor {
  int64_t index;  // among all
  int64_t band_first = 0;
  int band = 0;
  int row = 0, column = 0;  // of the tile, in tiles

  // Goes on to a tile that holds pairs, at `index` or some blocks further; false where there is none before `end`.
  __device__ bool settle(const PairTiles& tiles, int64_t end) {
    for (; index < end; index += gridDim.x) {
      while (index >= band_first + tiles.count_of(band)) band_first += tiles.count_of(band++);
      const int rows = int(tiles.rows_of(band)), inside = int(index - band_first);
      row = band * int(PairTiles::kBand) + inside % rows;
      column = int(tiles.first_column(band)) + inside / rows;
      if (!tiles.same_set || int64_t(column + 1) * kPairTileColumns - 1 > int64_t(row) * kPairTileRows)
        return true;
    }
    return false;
  }
};

// Copies some features of a tile's rows to shared memory.
template <int kTerms>
__device__ void load_step(const TermRows& left, const TermRows& right, const TileCursor& tile, int step,
                          unsigned char* stage) {
  constexpr int kRowsAtOnce = kThreads / kRowChunks;
  const int row = int(threadIdx.x) / kRowChunks, chunk = int(threadIdx.x) % kRowChunks;
  const int64_t within = row * left.padded_features + step * kPairStep + chunk * kChunkValues;
#pragma unroll
  for (int term = 0; term < kTerms; ++term) {
    const Bfloat16* rows = (term == 0 ? left.high : left.low) +
                           int64_t(tile.row) * kPairTileRows * left.padded_features + within;
    const Bfloat16* columns = (term == 0 ? right.high : right.low) +
                              int64_t(tile.column) * kPairTileColumns * left.padded_features + within;
    unsigned char* to = stage + term * kTermBytes + row * kRowBytes + place_in_row(row, chunk);
#pragma unroll
    for (int first = 0; first < kPairTileRows; first += kRowsAtOnce) {
      __pipeline_memcpy_async(to + first * kRowBytes, rows + first * left.padded_features, kChunkBytes);
    }
    to += kPairTileRows * kRowBytes;
#pragma unroll
    for (int first = 0; first < kPairTileColumns; first += kRowsAtOnce) {
      __pipeline_memcpy_async(to + first * kRowBytes, columns + first * left.padded_features, kChunkBytes);
    }
  }
}

__device__ inline uint32_t word_at(const unsigned char* place) {
  return *reinterpret_cast<const uint32_t*>(place);
}

// Adds the products over what is loaded of a tile's features.
template <int kTerms>
__device__ void multiply_step(const unsigned char* stage, float (&sums)[kDown][kAcross][4]) {
  const int lane = int(threadIdx.x) % kWarpThreads, warp = int(threadIdx.x) / kWarpThreads;
  const int group = lane / 4;
  const unsigned char* words = stage + group * kRowBytes + lane % 4 * int(sizeof(uint32_t));
  const unsigned char* rows = words + warp / kWarpsAcross * kWarpRows * kRowBytes;
  const unsigned char* columns = words + (kPairTileRows + warp % kWarpsAcross * kWarpColumns) * kRowBytes;
#pragma unroll 1
  for (int chunk = 0; chunk < kRowChunks; chunk += kProductFeatures / kChunkValues) {
    const int near = place_in_row(group, chunk), far = place_in_row(group, chunk + 1);
    uint32_t right[kTerms][kAcross][2];
#pragma unroll
    for (int term = 0; term < kTerms; ++term) {
#pragma unroll
      for (int n = 0; n < kAcross; ++n) {
        const unsigned char* column = columns + term * kTermBytes + n * kProductColumns * kRowBytes;
        right[term][n][0] = word_at(column + near);
        right[term][n][1] = word_at(column + far);
      }
    }
#pragma unroll
    for (int m = 0; m < kDown; ++m) {
      uint32_t left[kTerms][4];
#pragma unroll
      for (int term = 0; term < kTerms; ++term) {
        const unsigned char* row = rows + term * kTermBytes + m * kProductRows * kRowBytes;
        const unsigned char* lower = row + kProductRows / 2 * kRowBytes;
        left[term][0] = word_at(row + near);
        left[term][1] = word_at(lower + near);
        left[term][2] = word_at(row + far);
        left[term][3] = word_at(lower + far);
      }
      if constexpr (kTerms == 2) {
        add_products(sums[m], left[1], right[0]);
        add_products(sums[m], left[0], right[1]);
      }
      add_products(sums[m], left[0], right[0]);
    }
  }
}

// From a warp's products to the sums of its kernel values.
__device__ void add_values(const TermRows& left, const TermRows& right, const TileCursor& tile, bool same_set,
                           float (&products)[kDown][kAcross][4], const float* __restrict__ factors, int count,
                           double* sums) {
  const int lane = int(threadIdx.x) % kWarpThreads, warp = int(threadIdx.x) / kWarpThreads;
  const int64_t tile_row = int64_t(tile.row) * kPairTileRows,
                tile_column = int64_t(tile.column) * kPairTileColumns;
  const int64_t first_row = tile_row + warp / kWarpsAcross * kWarpRows + lane / 4;
  const int64_t first_column = tile_column + warp % kWarpsAcross * kWarpColumns + lane % 4 * 2;
  // Of most tiles every pair counts.
  const bool whole = tile_row + kPairTileRows <= left.rows && tile_column + kPairTileColumns <= right.rows &&
                     (!same_set || tile_column >= tile_row + kPairTileRows);
#pragma unroll
  for (int n = 0; n < kAcross; ++n) {
    const float2 columns = make_float2(right.norms[first_column + n * kProductColumns],
                                       right.norms[first_column + n * kProductColumns + 1]);
#pragma unroll
    for (int m = 0; m < kDown; ++m) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float norms =
            left.norms[first_row + m * kProductRows + i / 2 * 8] + (i % 2 == 0 ? columns.x : columns.y);
        const float squared = norms - 2.0f * products[m][n][i];
        products[m][n][i] = squared < 0.0f ? 0.0f : squared;
      }
    }
  }
  for (int s = 0; s < count; ++s) {
    const float factor = factors[s];
    double total = 0.0;
#pragma unroll
    for (int m = 0; m < kDown; ++m) {
      float part = 0.0f;
#pragma unroll
      for (int n = 0; n < kAcross; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float value = __expf(products[m][n][i] * factor);
          if (whole) {
            part += value;
            continue;
          }
          const int64_t row = first_row + m * kProductRows + i / 2 * 8;
          const int64_t column = first_column + n * kProductColumns + i % 2;
          const bool counts = row < left.rows && column < right.rows && (!same_set || column > row);
          part += counts ? value : 0.0f;
        }
      }
      total += double(part);
    }
    total = sum_over_warp(total);
    if (lane == 0) sums[warp * count + s] = total;
  }
}

// Loading runs some steps ahead, from one tile into the next: while values of one are summed, the next one's rows come.
template <int kTerms>
__global__ void __launch_bounds__(kThreads, 1)
    add_pairs_kernel(TermRows left, TermRows right, PairTiles tiles, int64_t first, int64_t end, int stages,
                     const float* __restrict__ factors, int count, double* __restrict__ sums) {
  DYNAMIC_SHARED(shared);
  constexpr int kStageBytes = kTerms * kTermBytes;
  const int steps = int(left.padded_features / kPairStep);
  TileCursor tile{first + blockIdx.x}, loaded = tile;
  bool more = loaded.settle(tiles, end);
  int loaded_step = 0, load_stage = 0, stage = 0;
  const auto load = [&] {
    if (more) {
      load_step<kTerms>(left, right, loaded, loaded_step, shared + load_stage * kStageBytes);
      if (++loaded_step == steps) {
        loaded_step = 0;
        loaded.index += gridDim.x;
        more = loaded.settle(tiles, end);
      }
    }
    if (++load_stage == stages) load_stage = 0;
    __pipeline_commit();  // an empty one too: they are counted
  };
  for (int ahead = 1; ahead < stages; ++ahead) load();
  for (; tile.settle(tiles, end); tile.index += gridDim.x) {
    float products[kDown][kAcross][4] = {};
    for (int step = 0; step < steps; ++step) {
      __pipeline_wait_prior(stages - 2);
      __syncthreads();  // all threads' copies are there, and nobody reads any more what the next ones replace
      load();
      multiply_step<kTerms>(shared + stage * kStageBytes, products);
      if (++stage == stages) stage = 0;
    }
    add_values(left, right, tile, tiles.same_set, products, factors, count,
               sums + (tile.index - first) * kPairWarps * count);
  }
}

}  // namespace

void split_rows(const float* set, const double* centre, int64_t features, const TermRows& out,
                cudaStream_t stream) {
  launch(split_rows_kernel, dim3(unsigned(out.padded_rows / kPairWarps)), dim3(kThreads), 0, stream, set,
         centre, features, out);
}

void add_pairs_of_terms(const TermRows& left, const TermRows& right, const PairTiles& tiles, int64_t first,
                        int64_t end, const float* factors, int count, double* sums, cudaStream_t stream) {
  const DeviceLimits limits = device_limits();
  const bool two = left.low != nullptr;
  const int stage_bytes = kTermBytes * (two ? 2 : 1);
  const int stages = std::clamp(limits.shared_bytes / stage_bytes, 2, kMostStages);
  const auto blocks = unsigned(std::min<int64_t>(limits.multiprocessors, end - first));
  launch(two ? &add_pairs_kernel<2> : &add_pairs_kernel<1>, dim3(blocks), dim3(kThreads),
         size_t(stages) * stage_bytes, stream, left, right, tiles, first, end, stages, factors, count, sums);
}

}  // namespace transfer_limits::cuda
