#pragma once

#include <torch/torch.h>

#include <algorithm>
#include <cstdint>

namespace transfer_limits {

// What every way to MMD's sums does with the two sets of rows first.

// Calls `visit(rows)` for some rows after another, so that what is made of them stays small.
template <typename Visit>
void for_parts(const at::Tensor& rows, const Visit& visit) {
  const int64_t part = rows.is_cuda() ? 1 << 15 : 1024;  // each visit waits for a device
  for (int64_t first = 0; first < rows.size(0); first += part) {
    visit(rows.narrow(0, first, std::min(part, rows.size(0) - first)));
  }
}

// Throws BAD_INPUT unless `a` [N, d] and `b` [M, d] are float32 or float64, finite, and on one device.
void check_pair(const at::Tensor& a, const at::Tensor& b);

// The mean over the rows of both, [d], float64.
at::Tensor mean_row(const at::Tensor& a, const at::Tensor& b);

// -1 / sigma^2; throws BAD_INPUT unless that is a number below 0.
double factor_of(double sigma);

}  // namespace transfer_limits
