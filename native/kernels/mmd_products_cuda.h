#pragma once

#include <cstdint>

#include "kernels/cuda_launch.h"

namespace transfer_limits::cuda {

// One tile of products of rows in float32, and what else the kernel's values need.
struct PairTile {
  const float* products = nullptr;  // [rows, columns]
  int64_t rows = 0, columns = 0;
  const double* row_norms = nullptr;  // squared, of the rows that were multiplied
  const double* column_norms = nullptr;
  // Pairs (i, j) of one set count where the column's index in the set is larger than the row's.
  bool same_set = false;
  int64_t first_row = 0, first_column = 0;
};

// The rows themselves [N, d], for the pairs whose products are too coarse.
struct PairRows {
  const float* left = nullptr;  // the tile's first
  const float* right = nullptr;
  int64_t features = 0;
  double most_rounding = 0;  // of a product, relative to the norms
};

constexpr int kPairBlocks = 528;
constexpr int kMostFactors = 4;

// Adds the kernel values exp(factor * squared distance) of a tile to `sums` [kPairBlocks, count], float64, a row a
// block: in an order that is always the same. A pair for which the rounding of its product could move a value by more
// than 2e-6 is computed again by differences of `rows`.
void add_pairs(const PairTile& tile, const PairRows& rows, const double* factors, int count, double* sums,
               cudaStream_t stream);

}  // namespace transfer_limits::cuda
