#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "error.h"
#include "kernels/mmd.h"
#include "kernels/mmd_products.h"
#include "kernels/mmd_rows.h"

namespace transfer_limits {
namespace {

constexpr int64_t kTileRows = 256;     // a tile of distances is then 512 KiB, and stays in the cache
constexpr int64_t kMedianRows = 4096;  // whose pairs, 8 million, are all looked at
constexpr int64_t kMedianPairs = 1 << 20;
constexpr int64_t kDirectDistance = 2;  // at::cdist: by differences, never by a matrix product

at::Tensor tile_of(const at::Tensor& rows, int64_t first) {
  return rows.narrow(0, first, std::min(kTileRows, rows.size(0) - first)).to(at::kDouble).contiguous();
}

// Adds the kernel values of one tile of distances [n, m] to `sums`, one entry a sigma; of a tile on the
// diagonal only those right of it. Each row is summed on its own and the rows in order: no thread decides the
// rounding.
void add_tile(const at::Tensor& distances, bool on_diagonal, const std::vector<double>& factors,
              double weight, std::vector<double>& sums) {
  const int64_t n = distances.size(0), m = distances.size(1);
  const int64_t count = static_cast<int64_t>(factors.size());
  const double* values = distances.const_data_ptr<double>();
  std::vector<double> rows(n * count, 0.0);
  at::parallel_for(0, n, 8, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t j = on_diagonal ? i + 1 : 0; j < m; ++j) {
        const double squared = values[i * m + j] * values[i * m + j];
        for (int64_t s = 0; s < count; ++s) rows[i * count + s] += std::exp(squared * factors[s]);
      }
    }
  });
  for (int64_t s = 0; s < count; ++s) {
    double tile = 0;
    for (int64_t i = 0; i < n; ++i) tile += rows[i * count + s];
    sums[s] += weight * tile;
  }
}

// The kernel is symmetric: within a set only tiles on and right of the diagonal are computed, and count
// twice.
std::vector<double> sum_pairs(const at::Tensor& left, const at::Tensor& right, bool same_set,
                              const std::vector<double>& factors, const std::function<bool()>& cancelled) {
  std::vector<double> sums(factors.size(), 0.0);
  for (int64_t i = 0; i < left.size(0); i += kTileRows) {
    const at::Tensor rows = tile_of(left, i);  // [n, d]
    for (int64_t j = same_set ? i : 0; j < right.size(0); j += kTileRows) {
      stop_where(cancelled && cancelled());
      const at::Tensor distances = at::cdist(rows, tile_of(right, j), 2.0, kDirectDistance);  // [n, m]
      add_tile(distances.cpu().contiguous(), same_set && i == j, factors, same_set ? 2.0 : 1.0, sums);
    }
  }
  return sums;
}

// Whether matrix products pay, and float32 holds what they need.
bool by_products(const at::Tensor& a, const at::Tensor& b, double largest,
                 const std::vector<double>& factors) {
  constexpr int64_t kFewest = 1 << 24;  // multiplications; below, differences take no time either
  constexpr double kLargest = 1e15;
  const bool single = a.scalar_type() == at::kFloat && b.scalar_type() == at::kFloat;
  const int64_t rows = std::max(a.size(0), b.size(0));
  return single && rows * rows >= kFewest / a.size(1) && largest < kLargest &&
         std::all_of(
             factors.begin(), factors.end(), [](double factor) { return factor < -1e-30 && factor > -1e30; });
}

at::Tensor all_distances(const at::Tensor& rows) {
  return at::pdist(rows.to(at::kDouble).contiguous(), 2.0).cpu().contiguous();  // [pairs i < j]
}

// Of pairs drawn at random, each of two different rows.
at::Tensor some_distances(const at::Tensor& rows) {
  constexpr int64_t kAtOnce = 8192;
  const auto count = static_cast<uint64_t>(rows.size(0));
  // The same rows must have the same median on every run. NOLINTNEXTLINE(bugprone-random-generator-seed)
  std::mt19937_64 draw(1);
  at::Tensor distances = at::empty({kMedianPairs}, at::kDouble);
  for (int64_t first = 0; first < kMedianPairs; first += kAtOnce) {
    const at::Tensor left = at::empty({kAtOnce}, at::kLong), right = at::empty({kAtOnce}, at::kLong);
    for (int64_t pair = 0; pair < kAtOnce; ++pair) {
      const uint64_t i = draw() % count, j = draw() % (count - 1);
      left.data_ptr<int64_t>()[pair] = static_cast<int64_t>(i);
      right.data_ptr<int64_t>()[pair] = static_cast<int64_t>(j < i ? j : j + 1);
    }
    const auto chosen = [&](const at::Tensor& index) {
      return rows.index_select(0, index.to(rows.device())).to(at::kDouble);
    };
    const at::Tensor lengths = (chosen(left) - chosen(right)).norm(2, 1);  // [pairs]
    distances.narrow(0, first, kAtOnce).copy_(lengths);
  }
  return distances;
}

}  // namespace

void stop_where(bool cancelled) {
  if (cancelled) throw Error("ABORTED", "The work was stopped before it was finished");
}

KernelSums gaussian_kernel_sums(const at::Tensor& a, const at::Tensor& b, const std::vector<double>& sigmas,
                                const std::function<bool()>& cancelled, Products products) {
  const at::NoGradGuard no_grad;
  const PairSurvey survey = check_pair(a, b);
  require(a.is_cuda() ? products != Products::kInt16
                      : products == Products::kFloat32 || products == Products::kInt16,
          a.is_cuda()
              ? "Expected float32, three-term-bfloat16 or bfloat16 for products on CUDA but received int16"
              : "Expected float32 or int16 for products on the CPU but received bfloat16");
  require(!sigmas.empty(), "Expected at least one sigma but received none");
  std::vector<double> factors;
  factors.reserve(sigmas.size());
  for (const double sigma : sigmas) factors.push_back(factor_of(sigma));
  if (by_products(a, b, survey.largest, factors)) {
    const auto sums = a.is_cuda() ? &cuda::kernel_sums_by_products : &kernel_sums_by_products;
    KernelSums by_product = sums(a.contiguous(), b.contiguous(), survey.centre, factors, products, cancelled);
    by_product.matched = matched_kernel_sums(a, b, factors);
    return by_product;
  }
  KernelSums sums;
  sums.rows_a = a.size(0);
  sums.rows_b = b.size(0);
  sums.within_a = sum_pairs(a, a, true, factors, cancelled);
  sums.within_b = sum_pairs(b, b, true, factors, cancelled);
  sums.between = sum_pairs(a, b, false, factors, cancelled);
  sums.matched = matched_kernel_sums(a, b, factors);
  return sums;
}

std::vector<double> matched_kernel_sums(const at::Tensor& a, const at::Tensor& b,
                                        const std::vector<double>& factors) {
  if (a.size(0) != b.size(0)) return {};
  std::vector<double> sums(factors.size(), 0.0);
  for (int64_t i = 0; i < a.size(0); i += kTileRows) {
    const at::Tensor squared = (tile_of(a, i) - tile_of(b, i)).square_().sum(1).cpu();  // [n]
    const double* values = squared.const_data_ptr<double>();
    for (int64_t row = 0; row < squared.size(0); ++row) {
      for (size_t s = 0; s < factors.size(); ++s) sums[s] += std::exp(values[row] * factors[s]);
    }
  }
  return sums;
}

double median_distance(const at::Tensor& rows) {
  const at::NoGradGuard no_grad;
  check_rows(rows, "rows");
  at::Tensor distances = rows.size(0) <= kMedianRows ? all_distances(rows) : some_distances(rows);
  if (distances.numel() == 0) return 0;
  double* first = distances.data_ptr<double>();
  double* last = first + distances.numel();
  double* middle = first + distances.numel() / 2;
  std::nth_element(first, middle, last);
  if (distances.numel() % 2 == 1) return *middle;
  return (*std::max_element(first, middle) + *middle) / 2;
}

}  // namespace transfer_limits
