#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <vector>

#include "kernels/simd_math.h"
#include "kernels/ssim_rows.h"

namespace transfer_limits {
namespace {

constexpr int64_t kReach = kSsimWindow - 1;  // by which windows are fewer than voxels
constexpr int kMoments = 4;                  // means of a, b, a^2 + b^2 and a b

// The same row in as many planes, or as many neighbouring rows, as the window has.
template <typename Value>
using Rows = std::array<const Value*, kSsimWindow>;

// out[moment * count + x] = sum over rows of tap * moment of the voxels there
template <typename Value>
TRANSFER_LIMITS_INLINE void moments_of_rows(const double* taps, const Value* const* a, const Value* const* b,
                                            int64_t count, double* out) {
#pragma GCC ivdep
  for (int64_t x = 0; x < count; ++x) {
    double mean_a = 0.0, mean_b = 0.0, squares = 0.0, product = 0.0;
#pragma GCC unroll 11
    for (int64_t k = 0; k < kSsimWindow; ++k) {
      const double u = static_cast<double>(a[k][x]), v = static_cast<double>(b[k][x]);
      mean_a += taps[k] * u;
      mean_b += taps[k] * v;
      squares += taps[k] * (u * u + v * v);
      product += taps[k] * (u * v);
    }
    out[x] = mean_a;
    out[count + x] = mean_b;
    out[2 * count + x] = squares;
    out[3 * count + x] = product;
  }
}
TRANSFER_LIMITS_VECTORISED
void moments(const double* taps, const float* const* a, const float* const* b, int64_t count, double* out) {
  moments_of_rows(taps, a, b, count, out);
}
TRANSFER_LIMITS_VECTORISED
void moments(const double* taps, const double* const* a, const double* const* b, int64_t count, double* out) {
  moments_of_rows(taps, a, b, count, out);
}

// out[x] = sum over rows of tap * row[x]
template <typename Value>
TRANSFER_LIMITS_INLINE void sum_of_rows(const double* taps, const Value* const* rows, int64_t count,
                                        double* out) {
#pragma GCC ivdep
  for (int64_t x = 0; x < count; ++x) {
    double sum = 0.0;
#pragma GCC unroll 11
    for (int64_t k = 0; k < kSsimWindow; ++k) sum += taps[k] * static_cast<double>(rows[k][x]);
    out[x] = sum;
  }
}
TRANSFER_LIMITS_VECTORISED
void weighted(const double* taps, const float* const* rows, int64_t count, double* out) {
  sum_of_rows(taps, rows, count, out);
}
TRANSFER_LIMITS_VECTORISED
void weighted(const double* taps, const double* const* rows, int64_t count, double* out) {
  sum_of_rows(taps, rows, count, out);
}

// Along a row: out[x] = sum over k of tap[k] * in[x + k].
void along_row(const double* taps, const double* in, int64_t count, double* out) {
  Rows<double> shifted;
  for (int64_t k = 0; k < kSsimWindow; ++k) shifted[k] = in + k;
  weighted(taps, shifted.data(), count, out);
}

// The similarity at the windows of one row, and its derivatives with respect to the four moments, each [count].
TRANSFER_LIMITS_VECTORISED
void similarity(const double* moments, double c1, double c2, int64_t count, double* value, double* to_mean_a,
                double* to_mean_b, double* to_squares, double* to_product) {
#pragma GCC ivdep
  for (int64_t x = 0; x < count; ++x) {
    const double a = moments[x], b = moments[count + x];
    const double luminance = 2.0 * a * b + c1, structure = 2.0 * (moments[3 * count + x] - a * b) + c2;
    const double energy = a * a + b * b;
    const double means = energy + c1, variances = moments[2 * count + x] - energy + c2;
    const double both = 1.0 / (means * variances);  // one division for three quotients
    const double over_means = variances * both, over_variances = means * both;
    const double similar = luminance * structure * both;
    value[x] = similar;
    const double product = 2.0 * luminance * both, squares = -similar * over_variances;
    to_product[x] = product;
    to_squares[x] = squares;
    const double cross = 2.0 * structure * both - product, own = -2.0 * (similar * over_means + squares);
    to_mean_a[x] = b * cross + a * own;
    to_mean_b[x] = a * cross + b * own;
  }
}

// out = factor * (to_mean + 2 own to_squares + other to_product)
template <typename Value>
TRANSFER_LIMITS_INLINE void chain(const double* to_mean, const double* to_squares, const double* to_product,
                                  const Value* own, const Value* other, double factor, int64_t count,
                                  Value* out) {
#pragma GCC ivdep
  for (int64_t x = 0; x < count; ++x) {
    out[x] = static_cast<Value>(factor * (to_mean[x] + 2.0 * static_cast<double>(own[x]) * to_squares[x] +
                                          static_cast<double>(other[x]) * to_product[x]));
  }
}
TRANSFER_LIMITS_VECTORISED
void gradient_row(const double* to_mean, const double* to_squares, const double* to_product, const float* own,
                  const float* other, double factor, int64_t count, float* out) {
  chain(to_mean, to_squares, to_product, own, other, factor, count, out);
}
TRANSFER_LIMITS_VECTORISED
void gradient_row(const double* to_mean, const double* to_squares, const double* to_product,
                  const double* own, const double* other, double factor, int64_t count, double* out) {
  chain(to_mean, to_squares, to_product, own, other, factor, count, out);
}

struct Grid {
  int64_t volumes, depth, height, width;  // volumes: of all samples and channels
  int64_t plane() const { return height * width; }
  int64_t size() const { return depth * plane(); }
  // Of the windows inside, and back.
  Grid windows() const { return {volumes, depth - kReach, height - kReach, width - kReach}; }
};

Grid grid_of(const at::Tensor& x) { return {x.size(0) * x.size(1), x.size(2), x.size(3), x.size(4)}; }

// Where the derivatives go, [N, C, D - 10, H - 10, W - 10] each or null.
template <typename Value>
struct Derivatives {
  Value *to_mean_a = nullptr, *to_mean_b = nullptr, *to_squares = nullptr, *to_product = nullptr;
};

template <typename Value>
void keep_row(const std::vector<double>& row, Value* derivatives, int64_t offset) {
  if (derivatives == nullptr) return;
  std::transform(row.begin(), row.end(), derivatives + offset,
                 [](double value) { return static_cast<Value>(value); });
}

// The sum of the similarity over one plane of windows.
template <typename Value>
double similarity_of_plane(const SsimWindow& window, const Grid& grid, const Value* a, const Value* b,
                           int64_t z, const Derivatives<Value>& derivatives, int64_t volume) {
  const double* taps = window.taps;
  const Grid inside = grid.windows();
  const int64_t row_values = kMoments * grid.width;
  std::vector<double> ring(kSsimWindow * row_values), filtered(grid.width), means(kMoments * inside.width);
  std::array<std::vector<double>, 5> rows;  // the similarity and its derivatives
  for (auto& row : rows) row.resize(inside.width);
  double sum = 0.0;
  for (int64_t y = 0; y < grid.height; ++y) {
    Rows<Value> planes_a, planes_b;
    for (int64_t k = 0; k < kSsimWindow; ++k) {
      planes_a[k] = a + (z + k) * grid.plane() + y * grid.width;
      planes_b[k] = b + (z + k) * grid.plane() + y * grid.width;
    }
    moments(taps, planes_a.data(), planes_b.data(), grid.width, ring.data() + y % kSsimWindow * row_values);
    const int64_t first = y - kReach;
    if (first < 0) continue;
    for (int64_t moment = 0; moment < kMoments; ++moment) {
      Rows<double> neighbours;
      for (int64_t k = 0; k < kSsimWindow; ++k) {
        neighbours[k] = ring.data() + (first + k) % kSsimWindow * row_values + moment * grid.width;
      }
      weighted(taps, neighbours.data(), grid.width, filtered.data());
      along_row(taps, filtered.data(), inside.width, means.data() + moment * inside.width);
    }
    similarity(means.data(), window.c1, window.c2, inside.width, rows[0].data(), rows[1].data(),
               rows[2].data(), rows[3].data(), rows[4].data());
    double row_sum = 0.0;
    for (const double value : rows[0]) row_sum += value;
    sum += row_sum;
    const int64_t offset = volume * inside.size() + z * inside.plane() + first * inside.width;
    keep_row(rows[1], derivatives.to_mean_a, offset);
    keep_row(rows[2], derivatives.to_mean_b, offset);
    keep_row(rows[3], derivatives.to_squares, offset);
    keep_row(rows[4], derivatives.to_product, offset);
  }
  return sum;
}

// One plane of the gradient: the filter, transposed, over the derivatives at all windows that hold a voxel. Rows and
// planes that do not exist are a row of zeros.
template <typename Value>
void gradient_of_plane(const SsimWindow& window, const Grid& grid,
                       const std::array<const Value*, 3>& derivatives, int64_t z, const Value* own,
                       const Value* other, double factor, Value* out) {
  const double* taps = window.taps;
  const Grid inside = grid.windows();
  const std::vector<Value> nothing(inside.width, Value(0));
  const std::vector<double> empty(inside.width, 0.0);
  std::array<std::vector<double>, 3> ring, gathered;
  for (auto& rows : ring) rows.resize(kSsimWindow * inside.width);
  for (auto& row : gathered) row.resize(grid.width);
  std::vector<double> padded(inside.width + 2 * kReach, 0.0);
  for (int64_t y = 0; y < grid.height; ++y) {
    for (size_t part = 0; part < 3; ++part) {
      if (y < inside.height) {
        Rows<Value> planes;
        for (int64_t k = 0; k < kSsimWindow; ++k) {
          const int64_t from = z - k;
          const bool exists = from >= 0 && from < inside.depth;
          planes[k] = exists ? derivatives[part] + from * inside.plane() + y * inside.width : nothing.data();
        }
        weighted(taps, planes.data(), inside.width, ring[part].data() + y % kSsimWindow * inside.width);
      }
      Rows<double> neighbours;
      for (int64_t k = 0; k < kSsimWindow; ++k) {
        const int64_t from = y - k;
        const bool exists = from >= 0 && from < inside.height;
        neighbours[k] = exists ? ring[part].data() + from % kSsimWindow * inside.width : empty.data();
      }
      weighted(taps, neighbours.data(), inside.width, padded.data() + kReach);
      along_row(taps, padded.data(), grid.width, gathered[part].data());  // the taps are symmetric
    }
    const int64_t offset = z * grid.plane() + y * grid.width;
    gradient_row(gathered[0].data(), gathered[1].data(), gathered[2].data(), own + offset, other + offset,
                 factor, grid.width, out + offset);
  }
}

template <typename Value>
at::Tensor mean_similarity(const SsimWindow& window, const at::Tensor& a, const at::Tensor& b,
                           SsimDerivatives& saved) {
  const Grid grid = grid_of(a), inside = grid.windows();
  const auto pointer = [](at::Tensor& x) { return x.defined() ? x.data_ptr<Value>() : nullptr; };
  const Derivatives<Value> derivatives = {pointer(saved.to_mean_a), pointer(saved.to_mean_b),
                                          pointer(saved.to_squares), pointer(saved.to_product)};
  const Value* values_a = a.const_data_ptr<Value>();
  const Value* values_b = b.const_data_ptr<Value>();
  std::vector<double> planes(grid.volumes * inside.depth);
  at::parallel_for(0, grid.volumes * inside.depth, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t volume = task / inside.depth;
      planes[task] =
          similarity_of_plane(window, grid, values_a + volume * grid.size(), values_b + volume * grid.size(),
                              task % inside.depth, derivatives, volume);
    }
  });
  at::Tensor answer = at::zeros({a.size(0)}, a.options().dtype(at::kDouble));
  double* sums = answer.data_ptr<double>();
  const int64_t sample_planes = a.size(1) * inside.depth;
  for (size_t plane = 0; plane < planes.size(); ++plane) {
    sums[static_cast<int64_t>(plane) / sample_planes] += planes[plane];
  }
  return answer.div_(static_cast<double>(sample_planes * inside.plane()));
}

// The gradient with respect to `own`; `to_answer` [N] in float64.
template <typename Value>
at::Tensor gradient_of(const SsimWindow& window, const at::Tensor& own, const at::Tensor& other,
                       const at::Tensor& to_mean, const at::Tensor& to_squares, const at::Tensor& to_product,
                       const at::Tensor& to_answer) {
  const Grid grid = grid_of(own), inside = grid.windows();
  at::Tensor gradient = at::empty_like(own);
  const double* factors = to_answer.const_data_ptr<double>();
  const auto windows = static_cast<double>(own.size(1) * inside.size());
  const int64_t channels = own.size(1);
  const Value* values[] = {own.const_data_ptr<Value>(), other.const_data_ptr<Value>()};
  const Value* derivatives[] = {to_mean.const_data_ptr<Value>(), to_squares.const_data_ptr<Value>(),
                                to_product.const_data_ptr<Value>()};
  Value* out = gradient.data_ptr<Value>();
  at::parallel_for(0, grid.volumes * grid.depth, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t volume = task / grid.depth;
      const int64_t at = volume * grid.size(), from = volume * inside.size();
      gradient_of_plane<Value>(
          window, grid, {derivatives[0] + from, derivatives[1] + from, derivatives[2] + from},
          task % grid.depth, values[0] + at, values[1] + at, factors[volume / channels] / windows, out + at);
    }
  });
  return gradient;
}

}  // namespace

at::Tensor ssim_of_rows(const at::Tensor& a, const at::Tensor& b, const SsimWindow& window,
                        SsimDerivatives& derivatives) {
  if (a.is_cuda()) return cuda::ssim_of_rows(a, b, window, derivatives);
  return a.scalar_type() == at::kDouble ? mean_similarity<double>(window, a, b, derivatives)
                                        : mean_similarity<float>(window, a, b, derivatives);
}

std::pair<at::Tensor, at::Tensor> ssim_gradients_of_rows(const at::Tensor& a, const at::Tensor& b,
                                                         const SsimWindow& window,
                                                         const SsimDerivatives& derivatives,
                                                         const at::Tensor& to_answer) {
  if (a.is_cuda()) return cuda::ssim_gradients_of_rows(a, b, window, derivatives, to_answer);
  const auto along = a.scalar_type() == at::kDouble ? &gradient_of<double> : &gradient_of<float>;
  const at::Tensor &to_squares = derivatives.to_squares, &to_product = derivatives.to_product;
  at::Tensor to_a, to_b;
  if (derivatives.to_mean_a.defined()) {
    to_a = along(window, a, b, derivatives.to_mean_a, to_squares, to_product, to_answer);
  }
  if (derivatives.to_mean_b.defined()) {
    to_b = along(window, b, a, derivatives.to_mean_b, to_squares, to_product, to_answer);
  }
  return {to_a, to_b};
}

}  // namespace transfer_limits
