#pragma once

#include <optional>

#include "tensor.h"

namespace transfer_limits {

// What is said about two sets of features whose rows are of the same cases, beside MMD². Empty where it is undefined.
struct MatchedRows {
  // Debiased linear CKA: 1 for the same representation but for rotation, scale and offset; about 0 for unrelated ones.
  // Empty below four rows, and where a set holds no similarity but noise (an unbiased HSIC with itself of 0 or less).
  std::optional<double> linear_cka;
  // Squared orthogonal Procrustes distance of the centred sets at unit Frobenius norm, from 0 to 2. Empty where a set is
  // one point.
  std::optional<double> procrustes;
  // |mean(a) - mean(b)| over the sets' pooled standard deviation. Empty where both sets are one point.
  std::optional<double> mean_shift;
  // √ of the sets' total variance (over N - 1). Empty below two rows.
  std::optional<double> deviation_a, deviation_b;
};

// Compares `a` [N, d] with `b` [N, d], float32 or float64, row i with row i; in float64. Holds a few times the rows, and
// min(N, d) squared. Throws BAD_INPUT for other shapes and values that are not finite.
MatchedRows compare_matched_rows(const at::Tensor& a, const at::Tensor& b);

}  // namespace transfer_limits
