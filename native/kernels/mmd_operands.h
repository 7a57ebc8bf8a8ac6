#pragma once

#include <cstdint>
#include <vector>

#include "tensor.h"

namespace transfer_limits {

// The forms in which rows are multiplied on a CPU for |u|^2 + |v|^2 - 2 u.v. Each form says which rows it holds, brings
// rows into it with `fill`, and multiplies two of its kind with `products_of`.

enum class Side : uint8_t { kLeft, kRight };

// Some rows of a set, moved to the origin.
struct CentredRows {
  int64_t first = 0, count = 0;
  std::vector<double> norms;  // |u|^2
  std::vector<double> units;  // u.v is the product in this form times both rows' units
};

// As they are.
class Float32Rows : public CentredRows {
 public:
  using Product = float;
  static constexpr bool kRounds = true;  // products are rounded: see mmd_rounding.h
  // A tile of rows on the left meets a panel of rows on the right, whose products with some columns are computed at once:
  // here 1 MiB of products, and 3 MiB of a panel with 768 features.
  static constexpr int64_t kTileRows = 256, kPanelRows = 1024, kColumns = 1024;

  Float32Rows(int64_t capacity, int64_t features, Side side);
  // Rows `begin` to `end` of `set` [N, d], less `centre` [d].
  void fill(const float* set, int64_t begin, int64_t end, const double* centre);
  const at::Tensor& values() const { return values_; }

 private:
  at::Tensor values_;  // [capacity, d]
};

// Each row in whole numbers of 16 bits, as large as sums of 32 bits can hold whatever the other row is: |q| < 2^15.5, so
// that |q.r| <= |q| |r| < 2^31. Products are then exact, and the processor multiplies twice as fast as in float32.
//
// The unit is such that |u| is kept exactly. What remains is a shift of each row by at most half a unit a feature, across
// its direction: an exponent t = |u - v|^2 / sigma^2 errs by about 2 sqrt(t) (|u| / sigma) 1e-5 (a standard deviation),
// in which nearer rows err less, and the kernel's value by less than 1e-5 |u| / sigma. Errors of different rows have
// nothing to do with each other, so that means over rows are far more precise.
class Int16Rows : public CentredRows {
 public:
  using Product = int32_t;
  static constexpr bool kRounds = false;
  static constexpr int64_t kRowsAtOnce = 12, kStrip = 32;  // of a block of products, which stays in registers
  static constexpr int64_t kTileRows = 192, kPanelRows = 4096, kColumns = 512;

  Int16Rows(int64_t capacity, int64_t features, Side side);
  void fill(const float* set, int64_t begin, int64_t end, const double* centre);
  // Whether sigma is wide enough for these shifts: no row of `set` [N, d] lies further than 4 sigma from the centre.
  static bool fit(const at::Tensor& set, const double* centre, double sigma);

  int64_t pairs() const { return pairs_; }
  // Two neighbouring features each: on the left [rows, pairs], on the right [strips, pairs, kStrip]. Rows up to a
  // multiple of kRowsAtOnce or kStrip are 0.
  const int32_t* values() const { return values_.data(); }

 private:
  int32_t* place_of(int64_t row);
  Side side_;
  int64_t features_, pairs_;
  std::vector<int32_t> values_;
};

// Products of all rows on the left with some on the right from `first`, which is a multiple of kColumns or of kTileRows:
// [at least left.count, at least columns].
at::Tensor products_of(const Float32Rows& left, const Float32Rows& right, int64_t first, int64_t columns);
at::Tensor products_of(const Int16Rows& left, const Int16Rows& right, int64_t first, int64_t columns);

}  // namespace transfer_limits
