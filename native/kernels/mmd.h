#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/mmd_products.h"
#include "tensor.h"

namespace transfer_limits {

// What every form of the squared maximum mean discrepancy is made of: sums of k(u, v) = exp(-|u - v|^2 /
// sigma^2), one entry a sigma. Ordered pairs count, so (i, j) and (j, i) are two; the N pairs (i, i), each
// exactly 1, are left out, because the biased and the unbiased form treat them differently.
struct KernelSums {
  int64_t rows_a = 0;
  int64_t rows_b = 0;
  std::vector<double> within_a;  // over i != j
  std::vector<double> within_b;  // over i != j
  std::vector<double> between;   // over all pairs of a row of A and a row of B
  std::vector<double> matched;   // over the pairs (i, i) of `between`; empty unless A and B have as many rows
};

// Sums of the Gaussian kernel within and between `a` [N, d] and `b` [M, d], float32 or float64.
//
// Works tile by tile and never holds more than one tile of distances a thread. Distances are taken from differences in
// float64, not from |u|^2 + |v|^2 - 2 u.v, whose cancellation would swamp the distance of two close rows far from the
// origin; except for many float32 rows, see mmd_products.h. All sums are float64 and in an order that does not depend on
// the number of threads. `products`: in what many rows are multiplied; each but float32 is for one kind of device. Throws
// BAD_INPUT for other shapes, a value that is not finite or a sigma that is not positive, and ABORTED as soon as
// `cancelled` answers true.
KernelSums gaussian_kernel_sums(const at::Tensor& a, const at::Tensor& b, const std::vector<double>& sigmas,
                                const std::function<bool()>& cancelled,
                                Products products = Products::kFloat32);

// Throws ABORTED where what asks for such sums no longer wants them.
void stop_where(bool cancelled);

// KernelSums::matched of the rows as they stand.
std::vector<double> matched_kernel_sums(const at::Tensor& a, const at::Tensor& b,
                                        const std::vector<double>& factors);

// The median Euclidean distance over the pairs of different rows of `rows` [N, d]; with an even number of pairs the mean
// of the two middle ones. 0 where at least half of the pairs are equal rows, and where there is only one row. Over all
// pairs up to 4,096 rows; over 2^20 pairs drawn from a fixed seed, of all rows, where there are more.
double median_distance(const at::Tensor& rows);

}  // namespace transfer_limits
