#pragma once

#include <functional>

#include "kernels/mmd.h"
#include "tensor.h"

namespace transfer_limits {

// The sums of gaussian_kernel_sums at one bandwidth for many ways to divide the rows of `a` [N, d] and `b` [M, d],
// pooled, into two sets: what a permutation test of MMD² compares (Gretton 2012, section 5). One pass over the pairs
// serves all divisions: a tile of kernel values is multiplied with who is in the first set.
//
// members: [P, N + M] uint8, 1 where a division puts the pooled row into the first set: N rows as a rule, others where
// patients with several rows move as a whole; never all or none. The answer has one entry a division instead of one a
// sigma, but one of `matched`: the rows of a pair (i, i) are taken to be in different sets in every division. Everything is float64, on the device of the rows; beside
// `members` and the rows some 30 MB are held. Throws as gaussian_kernel_sums, and BAD_INPUT for other members.
KernelSums permuted_kernel_sums(const at::Tensor& a, const at::Tensor& b, double sigma,
                                const at::Tensor& members, const std::function<bool()>& cancelled);

}  // namespace transfer_limits
