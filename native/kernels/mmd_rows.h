#pragma once

#include <cstdint>

#include "tensor.h"

namespace transfer_limits {

// What every way to MMD's sums does with the two sets of rows first.

// What both sets hold together.
struct PairSurvey {
  at::Tensor centre;     // [d] float64: the mean over the rows of both
  double largest = 0.0;  // of all absolute values
};

// Throws BAD_INPUT unless `a` [N, d] and `b` [M, d] are float32 or float64, finite, and on one device.
PairSurvey check_pair(const at::Tensor& a, const at::Tensor& b);

// Throws BAD_INPUT unless `rows` is [N, d], float32 or float64, and finite.
void check_rows(const at::Tensor& rows, const char* name);

struct RowExtent {
  double norm;    // squared
  float largest;  // of all absolute values
};

// out = row - centre, float32; answers what came out.
RowExtent centre_row(const float* row, const double* centre, int64_t features, float* out);

// -1 / sigma^2; throws BAD_INPUT unless that is a number below 0.
double factor_of(double sigma);

}  // namespace transfer_limits
