#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "error.h"
#include "kernels/linear_product.h"
#include "kernels/mmd.h"
#include "kernels/mmd_rounding.h"
#include "kernels/simd_math.h"

namespace transfer_limits {
namespace {

constexpr int64_t kTileRows = 256;
constexpr int64_t kPanelRows = 1024;  // a tile of products is 1 MiB, a panel of 768 features 3 MiB
constexpr int64_t kMostWorkers = 16;  // each holds a tile of rows and one of products

// squared[j] = |u|^2 + |v_j|^2 - 2 u.v_j, at least 0
TRANSFER_LIMITS_VECTORISED
void squared_distances(const float* products, double norm, const double* norms, int64_t count,
                       double* squared) {
#pragma GCC ivdep
  for (int64_t j = 0; j < count; ++j) {
    const double value = norm + norms[j] - 2.0 * static_cast<double>(products[j]);
    squared[j] = value < 0.0 ? 0.0 : value;
  }
}

TRANSFER_LIMITS_VECTORISED
double sum_of_kernel(const double* squared, double factor, int64_t count) {
  constexpr int64_t kLanes = 32;  // sums that do not wait for each other
  double lanes[kLanes] = {};
  int64_t j = 0;
  for (; j + kLanes <= count; j += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += exp_of_negative(squared[j + lane] * factor);
  }
  double sum = 0.0;
  for (; j < count; ++j) sum += exp_of_negative(squared[j] * factor);
  for (const double lane : lanes) sum += lane;
  return sum;
}

TRANSFER_LIMITS_VECTORISED
double squared_difference(const float* u, const float* v, int64_t features) {
  double sum = 0.0;
#pragma omp simd reduction(+ : sum)
  for (int64_t f = 0; f < features; ++f) {
    const double difference = static_cast<double>(u[f]) - static_cast<double>(v[f]);
    sum += difference * difference;
  }
  return sum;
}

// One row, moved to the origin; answers the squared norm of what came out.
TRANSFER_LIMITS_VECTORISED
double centre_row(const float* row, const double* centre, int64_t features, float* out) {
  double norm = 0.0;
#pragma omp simd reduction(+ : norm)
  for (int64_t f = 0; f < features; ++f) {
    const float value = static_cast<float>(static_cast<double>(row[f]) - centre[f]);
    out[f] = value;
    norm += static_cast<double>(value) * static_cast<double>(value);
  }
  return norm;
}

// Some rows of a set, centred.
struct Tile {
  explicit Tile(int64_t capacity, int64_t features)
      : rows(at::empty({capacity, features}, at::kFloat)), norms(capacity) {}

  void fill(const float* set, int64_t begin, int64_t end, const double* centre) {
    first = begin;
    count = end - begin;
    const int64_t features = rows.size(1);
    float* out = rows.data_ptr<float>();
    at::parallel_for(0, count, 64, [&](int64_t low, int64_t high) {
      for (int64_t i = low; i < high; ++i) {
        norms[i] = centre_row(set + (begin + i) * features, centre, features, out + i * features);
      }
    });
  }

  at::Tensor rows;  // [capacity, d]
  std::vector<double> norms;
  int64_t first = 0, count = 0;
};

class PairSums {
 public:
  PairSums(const at::Tensor& left, const at::Tensor& right, bool same_set, const at::Tensor& centre,
           const std::vector<double>& factors, const std::function<bool()>& cancelled)
      : left_(left),
        right_(right),
        same_set_(same_set),
        centre_(centre.const_data_ptr<double>()),
        factors_(factors),
        cancelled_(cancelled) {}

  std::vector<double> run() {
    std::vector<double> sums(factors_.size(), 0.0);
    Tile panel(std::min(kPanelRows, right_.size(0)), right_.size(1));
    for (int64_t first = 0; first < right_.size(0); first += kPanelRows) {
      panel.fill(right_.const_data_ptr<float>(), first, std::min(first + kPanelRows, right_.size(0)),
                 centre_);
      add_panel(panel, sums);
    }
    for (double& sum : sums) sum *= same_set_ ? 2.0 : 1.0;
    return sums;
  }

 private:
  // All rows on the left with one panel. Each tile has sums of its own, which are added in order; which thread computes
  // it is left to chance.
  void add_panel(const Tile& panel, std::vector<double>& sums) {
    const int64_t rows = same_set_ ? panel.first + panel.count : left_.size(0);
    const int64_t tiles = (rows + kTileRows - 1) / kTileRows;
    const auto count = static_cast<int64_t>(factors_.size());
    std::vector<double> tile_sums(tiles * count, 0.0);
    const int64_t workers = std::min<int64_t>({tiles, kMostWorkers, at::get_num_threads()});
    std::atomic<int64_t> next = 0;
    std::atomic<bool> stop = false;
    at::parallel_for(0, workers, 1, [&](int64_t, int64_t) {
      Tile tile(kTileRows, left_.size(1));
      for (int64_t index = next++; index < tiles && !stop; index = next++) {
        if (cancelled_ && cancelled_()) stop = true;
        tile.fill(left_.const_data_ptr<float>(), index * kTileRows, std::min((index + 1) * kTileRows, rows),
                  centre_);
        add_tile(tile, panel, tile_sums.data() + index * count);
      }
    });
    if (stop) throw Error("ABORTED", "The work was stopped before it was finished");
    for (int64_t index = 0; index < tiles * count; ++index) sums[index % count] += tile_sums[index];
  }

  void add_tile(const Tile& tile, const Tile& panel, double* sums) const {
    // Within one set, columns left of the tile's first row belong to pairs that are counted elsewhere.
    const int64_t skipped = same_set_ ? std::max<int64_t>(0, tile.first - panel.first) : 0;
    const int64_t columns = panel.count - skipped;
    const at::Tensor products = linear_product(tile.rows.narrow(0, 0, tile.count),
                                               panel.rows.narrow(0, skipped, columns));  // [rows, columns]
    const double* norms = panel.norms.data() + skipped;
    const double largest = *std::max_element(norms, norms + columns);
    const float* values = products.const_data_ptr<float>();
    std::vector<double> squared(columns);
    for (int64_t i = 0; i < tile.count; ++i) {
      const int64_t row = tile.first + i;
      const int64_t begin =
          same_set_ ? std::max<int64_t>(0, row + 1 - panel.first - skipped) : 0;  // right of the diagonal
      if (begin >= columns) continue;
      squared_distances(values + i * columns + begin, tile.norms[i], norms + begin, columns - begin,
                        squared.data());
      refine(row, panel.first + skipped + begin, columns - begin, tile.norms[i] + largest, squared.data());
      for (size_t s = 0; s < factors_.size(); ++s) {
        sums[s] += sum_of_kernel(squared.data(), factors_[s], columns - begin);
      }
    }
  }

  // By differences where kProductRounding * norms * |factor| * exp(squared * factor) is more than the tolerance for some
  // factor.
  void refine(int64_t row, int64_t first, int64_t count, double norms, double* squared) const {
    double limit = 0.0;
    const double rounding = kProductRounding * norms;
    for (const double factor : factors_) {
      limit = std::max(limit, std::log(rounding * -factor / kKernelTolerance) / -factor);
    }
    if (!(limit > 0.0)) return;
    const int64_t features = left_.size(1);
    limit +=
        kMostProductRounding * std::sqrt(static_cast<double>(features)) * norms;  // the distance's own error
    const float* u = left_.const_data_ptr<float>() + row * features;
    for (int64_t j = 0; j < count; ++j) {
      if (squared[j] >= limit) continue;
      squared[j] = squared_difference(u, right_.const_data_ptr<float>() + (first + j) * features, features);
    }
  }

  const at::Tensor& left_;
  const at::Tensor& right_;
  bool same_set_;
  const double* centre_;
  const std::vector<double>& factors_;
  const std::function<bool()>& cancelled_;
};

}  // namespace

KernelSums kernel_sums_by_products(const at::Tensor& a, const at::Tensor& b, const at::Tensor& centre,
                                   const std::vector<double>& factors,
                                   const std::function<bool()>& cancelled) {
  KernelSums sums;
  sums.rows_a = a.size(0);
  sums.rows_b = b.size(0);
  sums.within_a = PairSums(a, a, true, centre, factors, cancelled).run();
  sums.within_b = PairSums(b, b, true, centre, factors, cancelled).run();
  sums.between = PairSums(a, b, false, centre, factors, cancelled).run();
  return sums;
}

}  // namespace transfer_limits
