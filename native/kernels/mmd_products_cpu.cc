#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "kernels/mmd.h"
#include "kernels/mmd_operands.h"
#include "kernels/mmd_rounding.h"
#include "kernels/simd_math.h"

namespace transfer_limits {
namespace {

constexpr int64_t kMostWorkers = 16;  // each holds a tile of rows and one of products

// One row u with the rows v_j on the right.
struct RowPairs {
  int64_t count;
  double norm, unit;            // of u: see CentredRows
  const double *norms, *units;  // of the v_j
};

// squared[j] = |u|^2 + |v_j|^2 - 2 u.v_j, at least 0
template <typename Product>
TRANSFER_LIMITS_INLINE void squares_from(const Product* products, const RowPairs& pairs, double* squared) {
#pragma GCC ivdep
  for (int64_t j = 0; j < pairs.count; ++j) {
    const double product = static_cast<double>(products[j]) * (pairs.unit * pairs.units[j]);
    const double value = pairs.norm + pairs.norms[j] - 2.0 * product;
    squared[j] = value < 0.0 ? 0.0 : value;
  }
}
TRANSFER_LIMITS_VECTORISED
void squared_distances(const float* products, const RowPairs& pairs, double* squared) {
  squares_from(products, pairs, squared);
}
TRANSFER_LIMITS_VECTORISED
void squared_distances(const int32_t* products, const RowPairs& pairs, double* squared) {
  squares_from(products, pairs, squared);
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

template <typename Rows>
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
    Rows panel(std::min(Rows::kPanelRows, right_.size(0)), right_.size(1), Side::kRight);
    for (int64_t first = 0; first < right_.size(0); first += Rows::kPanelRows) {
      panel.fill(right_.const_data_ptr<float>(), first, std::min(first + Rows::kPanelRows, right_.size(0)),
                 centre_);
      add_panel(panel, sums);
    }
    for (double& sum : sums) sum *= same_set_ ? 2.0 : 1.0;
    return sums;
  }

 private:
  // All rows on the left with one panel. Each tile has sums of its own, which are added in order; which thread computes
  // it is left to chance.
  void add_panel(const Rows& panel, std::vector<double>& sums) {
    const int64_t rows = same_set_ ? panel.first + panel.count : left_.size(0);
    const int64_t tiles = (rows + Rows::kTileRows - 1) / Rows::kTileRows;
    const auto count = static_cast<int64_t>(factors_.size());
    std::vector<double> tile_sums(tiles * count, 0.0);
    const int64_t workers = std::min<int64_t>({tiles, kMostWorkers, at::get_num_threads()});
    std::atomic<int64_t> next = 0;
    std::atomic<bool> stop = false;
    at::parallel_for(0, workers, 1, [&](int64_t, int64_t) {
      Rows tile(Rows::kTileRows, left_.size(1), Side::kLeft);
      for (int64_t index = next++; index < tiles && !stop; index = next++) {
        if (cancelled_ && cancelled_()) stop = true;
        tile.fill(left_.const_data_ptr<float>(), index * Rows::kTileRows,
                  std::min((index + 1) * Rows::kTileRows, rows), centre_);
        add_tile(tile, panel, tile_sums.data() + index * count);
      }
    });
    stop_where(stop);
    for (int64_t index = 0; index < tiles * count; ++index) sums[index % count] += tile_sums[index];
  }

  void add_tile(const Rows& tile, const Rows& panel, double* sums) const {
    // Within one set, columns left of the tile's first row belong to pairs that are counted elsewhere.
    int64_t column = same_set_ ? std::max<int64_t>(0, tile.first - panel.first) : 0;
    for (; column < panel.count; column += Rows::kColumns) {
      add_block(tile, panel, column, std::min(Rows::kColumns, panel.count - column), sums);
    }
  }

  void add_block(const Rows& tile, const Rows& panel, int64_t first, int64_t columns, double* sums) const {
    const at::Tensor products = products_of(tile, panel, first, columns);  // at least [rows, columns]
    const auto* values = products.const_data_ptr<typename Rows::Product>();
    const double* norms = panel.norms.data() + first;
    const double* units = panel.units.data() + first;
    const double largest = *std::max_element(norms, norms + columns);
    std::vector<double> squared(columns);
    for (int64_t i = 0; i < tile.count; ++i) {
      const int64_t row = tile.first + i;
      const int64_t begin =
          same_set_ ? std::max<int64_t>(0, row + 1 - panel.first - first) : 0;  // right of the diagonal
      if (begin >= columns) continue;
      const RowPairs pairs = {columns - begin, tile.norms[i], tile.units[i], norms + begin, units + begin};
      squared_distances(values + i * products.size(1) + begin, pairs, squared.data());
      if constexpr (Rows::kRounds) {
        refine(row, panel.first + first + begin, pairs.count, tile.norms[i] + largest, squared.data());
      }
      for (size_t s = 0; s < factors_.size(); ++s) {
        sums[s] += sum_of_kernel(squared.data(), factors_[s], pairs.count);
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

template <typename Rows>
KernelSums kernel_sums(const at::Tensor& a, const at::Tensor& b, const at::Tensor& centre,
                       const std::vector<double>& factors, const std::function<bool()>& cancelled) {
  KernelSums sums;
  sums.rows_a = a.size(0);
  sums.rows_b = b.size(0);
  sums.within_a = PairSums<Rows>(a, a, true, centre, factors, cancelled).run();
  sums.within_b = PairSums<Rows>(b, b, true, centre, factors, cancelled).run();
  sums.between = PairSums<Rows>(a, b, false, centre, factors, cancelled).run();
  return sums;
}

}  // namespace

KernelSums kernel_sums_by_products(const at::Tensor& a, const at::Tensor& b, const at::Tensor& centre,
                                   const std::vector<double>& factors, Products products,
                                   const std::function<bool()>& cancelled) {
  const double sigma = 1.0 / std::sqrt(-*std::min_element(factors.begin(), factors.end()));  // the smallest
  const auto fits = [&](const at::Tensor& set) {
    return Int16Rows::fit(set, centre.const_data_ptr<double>(), sigma);
  };
  return products == Products::kInt16 && fits(a) && fits(b)
             ? kernel_sums<Int16Rows>(a, b, centre, factors, cancelled)
             : kernel_sums<Float32Rows>(a, b, centre, factors, cancelled);
}

}  // namespace transfer_limits
