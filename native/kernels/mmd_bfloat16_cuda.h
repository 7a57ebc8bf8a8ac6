#pragma once

#include <cstdint>

#include "kernels/cuda_launch.h"

namespace transfer_limits::cuda {

// Rows [N, d] as tensor cores multiply them: one or two terms of bfloat16 that add up to a row, whose memory holds whole
// tiles; what is beyond the rows and features is 0.
struct TermRows {
  Bfloat16* high = nullptr;  // [padded_rows, padded_features]
  Bfloat16* low = nullptr;   // the same, or null: one term
  float* norms = nullptr;    // [padded_rows]: squared, of what is multiplied
  int64_t rows = 0, padded_rows = 0, padded_features = 0;
};

constexpr int kPairTileRows = 128, kPairTileColumns = 256;  // of the pairs that a block works on at a time
constexpr int kPairStep = 32;                               // features that are loaded at once
constexpr int kPairWarps = 8;                               // a block
// `padded_rows` is a multiple of kPairTileColumns, and so of kPairTileRows, `padded_features` of kPairStep.
static_assert(kPairTileColumns % kPairTileRows == 0);

// The tiles of all pairs of a row of one set with one of another; within one set those in which a column's index can be
// larger than a row's. A band is some rows of tiles, whose tiles are numbered column by column: blocks that work side by
// side read the same rows of the sets, which then lie in the device's cache.
struct PairTiles {
  int64_t row_tiles = 0, column_tiles = 0;
  bool same_set = false;

  static constexpr int64_t kBand = 8;
  static_assert(kBand * kPairTileRows % kPairTileColumns == 0);  // a band begins where a column of tiles does

  static PairTiles between(int64_t left_rows, int64_t right_rows, bool same_set) {
    return {divided(left_rows, kPairTileRows), divided(right_rows, kPairTileColumns), same_set};
  }

  __host__ __device__ int64_t rows_of(int64_t band) const {
    const int64_t left = row_tiles - band * kBand;
    return left < kBand ? left : kBand;
  }
  __host__ __device__ int64_t first_column(int64_t band) const {
    return same_set ? band * kBand * kPairTileRows / kPairTileColumns : 0;
  }
  __host__ __device__ int64_t count_of(int64_t band) const {
    return rows_of(band) * (column_tiles - first_column(band));
  }
  int64_t count() const {
    int64_t count = 0;
    for (int64_t band = 0; band < divided(row_tiles, kBand); ++band) count += count_of(band);
    return count;
  }
};

// Brings `set` [rows, d] less `centre` [d] into `out`, of which all but the values is given, and takes the norms.
//
// u.v is high.high + high.low + low.high; the norms leave out low.low too, so that equal rows are at distance 0.
void split_rows(const float* set, const double* centre, int64_t features, const TermRows& out,
                cudaStream_t stream);

// One kernel for products, distances, the kernel's values exp(factor * squared distance) and their sums: of the tiles
// from `first` to before `end` the sums of what each warp worked on, `sums` [end - first, kPairWarps, count], float64,
// which holds 0 before. Within one set (`left` and `right` are the same) each pair counts once, and no row with itself.
// `factors` [count] lies on the device. The sums do not depend on the device.
void add_pairs_of_terms(const TermRows& left, const TermRows& right, const PairTiles& tiles, int64_t first,
                        int64_t end, const float* factors, int count, double* sums, cudaStream_t stream);

}  // namespace transfer_limits::cuda
