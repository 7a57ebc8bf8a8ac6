#include <ATen/Parallel.h>
#include <ATen/Version.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>

#include "kernels/mmd_operands.h"
#include "kernels/mmd_rows.h"
#include "kernels/simd_math.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace transfer_limits {
namespace {

constexpr int64_t kRows = Int16Rows::kRowsAtOnce;
constexpr int64_t kStrip = Int16Rows::kStrip;

constexpr double kLargestNorm = 46340.0;   // its square is below 2^31
constexpr double kLargestValue = 32767.0;  // of 16 bits
constexpr double kLargestScale = 1e37;     // of float32

int64_t up_to(int64_t count, int64_t multiple) { return (count + multiple - 1) / multiple * multiple; }

// Rounds values * scale; answers the squared norm of what came out.
TRANSFER_LIMITS_VECTORISED
double round_row(const float* values, float scale, int64_t features, int16_t* out) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
  int64_t norm = 0;
#pragma omp simd reduction(+ : norm)
  for (int64_t f = 0; f < features; ++f) {
    const int32_t whole = std::bit_cast<int32_t>(values[f] * scale + kRound) - std::bit_cast<int32_t>(kRound);
    out[f] = static_cast<int16_t>(whole);
    norm += static_cast<int64_t>(whole * whole);
  }
  return static_cast<double>(norm);
}

// A block of products: kRows rows of the left with a strip of the right.
using Multiply = void (*)(const int32_t* left, const int32_t* strip, int64_t pairs, int32_t* out,
                          int64_t stride);

TRANSFER_LIMITS_VECTORISED
void multiply_anywhere(const int32_t* left, const int32_t* strip, int64_t pairs, int32_t* out,
                       int64_t stride) {
  for (int64_t row = 0; row < kRows; ++row) {
    int32_t sums[kStrip] = {};
    for (int64_t p = 0; p < pairs; ++p) {
      const int32_t pair = left[row * pairs + p];
      const int32_t low = static_cast<int16_t>(pair), high = pair >> 16;
      for (int64_t column = 0; column < kStrip; ++column) {
        const int32_t other = strip[p * kStrip + column];
        sums[column] += low * static_cast<int16_t>(other) + high * (other >> 16);
      }
    }
    std::copy_n(sums, kStrip, out + row * stride);
  }
}

#if defined(__x86_64__)
// 24 sums of 16 columns in registers; each instruction multiplies 16 pairs.
__attribute__((target("avx512f,avx512vnni"))) void multiply_vnni(const int32_t* left, const int32_t* strip,
                                                                 int64_t pairs, int32_t* out,
                                                                 int64_t stride) {
  constexpr int64_t kLanes = 16;
  constexpr int64_t kColumns = kStrip / kLanes;
  __m512i sums[kRows][kColumns];
#pragma GCC unroll 12
  for (int64_t row = 0; row < kRows; ++row) {
#pragma GCC unroll 2
    for (int64_t column = 0; column < kColumns; ++column) sums[row][column] = _mm512_setzero_si512();
  }
  for (int64_t p = 0; p < pairs; ++p) {
    __m512i right[kColumns];
#pragma GCC unroll 2
    for (int64_t column = 0; column < kColumns; ++column) {
      right[column] = _mm512_loadu_si512(strip + p * kStrip + column * kLanes);
    }
#pragma GCC unroll 12
    for (int64_t row = 0; row < kRows; ++row) {
      const __m512i pair = _mm512_set1_epi32(left[row * pairs + p]);
#pragma GCC unroll 2
      for (int64_t column = 0; column < kColumns; ++column) {
        sums[row][column] = _mm512_dpwssd_epi32(sums[row][column], pair, right[column]);
      }
    }
  }
#pragma GCC unroll 12
  for (int64_t row = 0; row < kRows; ++row) {
#pragma GCC unroll 2
    for (int64_t column = 0; column < kColumns; ++column) {
      _mm512_storeu_si512(out + row * stride + column * kLanes, sums[row][column]);
    }
  }
}
#endif

static_assert(Int16Rows::kTileRows % kRows == 0 && Int16Rows::kTileRows % kStrip == 0);
static_assert(Int16Rows::kPanelRows % kStrip == 0 && Int16Rows::kColumns % kStrip == 0);

// By what the processor can do, in LibTorch's judgement (and its environment variable ATEN_CPU_CAPABILITY).
Multiply multiply_here() {
#if defined(__x86_64__)
  if (at::get_cpu_capability() == "AVX512" && __builtin_cpu_supports("avx512vnni")) return multiply_vnni;
#endif
  return multiply_anywhere;
}

}  // namespace

Int16Rows::Int16Rows(int64_t capacity, int64_t features, Side side)
    : side_(side),
      features_(features),
      pairs_((features + 1) / 2),
      values_(up_to(capacity, side == Side::kLeft ? kRows : kStrip) * pairs_) {
  norms.resize(capacity);
  units.resize(capacity);
}

bool Int16Rows::fit(const at::Tensor& set, const double* centre, double sigma) {
  const double largest = 16.0 * sigma * sigma;
  const float* rows = set.const_data_ptr<float>();
  const int64_t features = set.size(1);
  std::atomic<bool> all = true;
  at::parallel_for(0, set.size(0), 64, [&](int64_t low, int64_t high) {
    std::vector<float> centred(features);
    for (int64_t row = low; row < high && all; ++row) {
      if (centre_row(rows + row * features, centre, features, centred.data()).norm > largest) all = false;
    }
  });
  return all;
}

int32_t* Int16Rows::place_of(int64_t row) {
  if (side_ == Side::kLeft) return values_.data() + row * pairs_;
  return values_.data() + row / kStrip * kStrip * pairs_ + row % kStrip;
}

void Int16Rows::fill(const float* set, int64_t begin, int64_t end, const double* centre) {
  first = begin;
  count = end - begin;
  const int64_t step = side_ == Side::kLeft ? 1 : kStrip;  // from pair to pair
  const double largest_norm =
      kLargestNorm - 0.5 * std::sqrt(static_cast<double>(features_));  // before rounding
  at::parallel_for(0, count, 64, [&](int64_t low, int64_t high) {
    std::vector<float> centred(features_);
    std::vector<int16_t> rounded(2 * pairs_, 0);
    for (int64_t row = low; row < high; ++row) {
      const auto [norm, largest] =
          centre_row(set + (begin + row) * features_, centre, features_, centred.data());
      const double scale = std::min({largest_norm / std::sqrt(norm), kLargestValue / largest, kLargestScale});
      const double kept = round_row(centred.data(), static_cast<float>(scale), features_, rounded.data());
      norms[row] = norm;
      units[row] = kept > 0.0 ? std::sqrt(norm / kept) : 0.0;
      int32_t* out = place_of(row);
      for (int64_t p = 0; p < pairs_; ++p) {
        out[p * step] =
            static_cast<int32_t>(static_cast<uint16_t>(rounded[2 * p]) |
                                 static_cast<uint32_t>(static_cast<uint16_t>(rounded[2 * p + 1])) << 16);
      }
    }
  });
  const int64_t padded = up_to(count, side_ == Side::kLeft ? kRows : kStrip);
  for (int64_t row = count; row < padded; ++row) {
    int32_t* out = place_of(row);
    for (int64_t p = 0; p < pairs_; ++p) out[p * step] = 0;
  }
}

at::Tensor products_of(const Int16Rows& left, const Int16Rows& right, int64_t first, int64_t columns) {
  static const Multiply multiply = multiply_here();
  const int64_t pairs = left.pairs();
  const int64_t rows = up_to(left.count, kRows), padded = up_to(columns, kStrip);
  at::Tensor products = at::empty({rows, padded}, at::kInt);
  auto* out = products.data_ptr<int32_t>();
  for (int64_t column = 0; column < padded; column += kStrip) {
    const int32_t* strip = right.values() + (first + column) * pairs;
    for (int64_t row = 0; row < rows; row += kRows) {
      multiply(left.values() + row * pairs, strip, pairs, out + row * padded + column, padded);
    }
  }
  return products;
}

}  // namespace transfer_limits
