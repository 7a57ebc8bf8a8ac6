#include "kernels/mmd_rows.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "error.h"
#include "kernels/simd_math.h"

namespace transfer_limits {
namespace {

struct RowSurvey {
  at::Tensor sum;  // [d] float64, on the rows' device
  double largest;  // of all absolute values; infinite or NaN where one of them is
};

// Adds a row to the sums; answers the largest absolute value's bits, above infinity's where a value is NaN.
TRANSFER_LIMITS_VECTORISED
int32_t add_row(const float* row, int64_t features, double* sums) {
  int32_t largest = 0;
#pragma omp simd reduction(max : largest)
  for (int64_t f = 0; f < features; ++f) {
    const int32_t bits = std::bit_cast<int32_t>(row[f]) & std::numeric_limits<int32_t>::max();
    sums[f] += static_cast<double>(row[f]);
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

// In one pass over float32 rows on a CPU. Parts have sums of their own, which are added in order: threads decide no
// rounding.
RowSurvey survey_on_cpu(const at::Tensor& rows) {
  constexpr int64_t kPart = 256;
  const int64_t count = rows.size(0), features = rows.size(1), parts = (count + kPart - 1) / kPart;
  const float* values = rows.const_data_ptr<float>();
  const at::Tensor sums = at::zeros({parts, features}, at::kDouble);
  auto* sum = sums.data_ptr<double>();
  std::vector<int32_t> largest(parts, 0);
  at::parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      for (int64_t row = part * kPart; row < std::min((part + 1) * kPart, count); ++row) {
        largest[part] =
            std::max(largest[part], add_row(values + row * features, features, sum + part * features));
      }
    }
  });
  const int32_t bits = *std::max_element(largest.begin(), largest.end());
  for (int64_t part = 1; part < parts; ++part) {
    for (int64_t f = 0; f < features; ++f) sum[f] += sum[part * features + f];
  }
  return {sums[0].clone(), static_cast<double>(std::bit_cast<float>(bits))};
}

// Some rows after another, so that what is made of them stays small.
RowSurvey survey_by_parts(const at::Tensor& rows) {
  const int64_t part = rows.is_cuda() ? 1 << 15 : 1024;
  at::Tensor sum = at::zeros({rows.size(1)}, rows.options().dtype(at::kDouble));
  std::vector<at::Tensor> largest;
  for (int64_t first = 0; first < rows.size(0); first += part) {
    const at::Tensor some = rows.narrow(0, first, std::min(part, rows.size(0) - first));
    sum += some.to(at::kDouble).sum(0);
    largest.push_back(some.abs().max());  // NaN where there is one
  }
  return {sum, at::stack(largest).max().item<double>()};
}

RowSurvey survey_rows(const at::Tensor& rows, const char* name) {
  require(rows.dim() == 2, "Expected ", name, " of shape [rows, features] but received ", rows.sizes());
  require(rows.size(0) >= 1 && rows.size(1) >= 1, "Expected at least one row and one feature for ", name,
          " but received ", rows.sizes());
  require(rows.scalar_type() == at::kFloat || rows.scalar_type() == at::kDouble,
          "Expected float32 or float64 for ", name, " but received ", at::toString(rows.scalar_type()));
  const bool plain = rows.is_cpu() && rows.scalar_type() == at::kFloat && rows.is_contiguous();
  RowSurvey survey = plain ? survey_on_cpu(rows) : survey_by_parts(rows);
  require(std::isfinite(survey.largest), "Expected finite values for ", name,
          " but received NaN or infinity: look at the network that made these features");
  return survey;
}

}  // namespace

void check_rows(const at::Tensor& rows, const char* name) { survey_rows(rows, name); }

PairSurvey check_pair(const at::Tensor& a, const at::Tensor& b) {
  const RowSurvey in_a = survey_rows(a, "a"), in_b = survey_rows(b, "b");
  require(a.size(1) == b.size(1), "Expected as many features in b as in a, ", a.size(1), ", but received ",
          b.size(1));
  require(a.device() == b.device(), "Expected a and b on one device but received ", a.device().str(), " and ",
          b.device().str());
  return {(in_a.sum + in_b.sum) / double(a.size(0) + b.size(0)), std::max(in_a.largest, in_b.largest)};
}

TRANSFER_LIMITS_VECTORISED
RowExtent centre_row(const float* row, const double* centre, int64_t features, float* out) {
  double norm = 0.0;
  float largest = 0.0f;
#pragma omp simd reduction(+ : norm) reduction(max : largest)
  for (int64_t f = 0; f < features; ++f) {
    const float value = static_cast<float>(static_cast<double>(row[f]) - centre[f]);
    const float size = std::abs(value);
    out[f] = value;
    norm += static_cast<double>(value) * static_cast<double>(value);
    largest = size > largest ? size : largest;
  }
  return {norm, largest};
}

double factor_of(double sigma) {
  const double factor = -1.0 / (sigma * sigma);
  require(std::isfinite(sigma) && sigma > 0 && std::isfinite(factor) && factor < 0,
          "Expected a positive number whose square is neither 0 nor infinite for sigma but received ", sigma);
  return factor;
}

}  // namespace transfer_limits
