#pragma once

#include <functional>
#include <vector>

#include "tensor.h"

namespace transfer_limits {

// In what the products of rows are computed.
// - float32, on every device.
// - int16, on a CPU: each row in whole numbers, see Int16Rows in mmd_operands.h; float32 where those would be
//   too coarse. Twice the rate of float32 where the processor multiplies 16-bit numbers (AVX-512 VNNI); elsewhere right
//   but slow.
// - bfloat16, on CUDA, takes each value as one, with 8 bits; three-term bfloat16 as the sum of two, and leaves out the
//   product of the two small parts: nearly the precision of float32 at the rate of bfloat16.
enum class Products : uint8_t { kFloat32, kInt16, kThreeTermBfloat16, kBfloat16 };

struct KernelSums;  // kernels/mmd.h

// The way to gaussian_kernel_sums by matrix products, for many dense float32 rows: several times faster than by
// differences. Rows are moved to the origin by `centre` [d] (float64), the products are float32 or int16, and norms,
// distances and sums float64. Pairs for which a product of float32 is too coarse are computed again, by differences: see
// mmd_rounding.h.
//
// factors: -1 / sigma^2. Within one set each pair is computed once and counts twice. No more than about 30 MB are held
// beside the rows, whatever their number.
KernelSums kernel_sums_by_products(const at::Tensor& a, const at::Tensor& b, const at::Tensor& centre,
                                   const std::vector<double>& factors, Products products,
                                   const std::function<bool()>& cancelled);

namespace cuda {

// The same on CUDA. Products of float32 are refined as above; beside the rows moved to the origin 32 MB of products are
// held, and before that, while rows are made ready, some 200 kB a feature. Those of bfloat16 are taken as they are, in one
// kernel with all that follows: beside the rows in one or two terms (2 or 4 bytes a value) 1 MB a sigma is held.
KernelSums kernel_sums_by_products(const at::Tensor& a, const at::Tensor& b, const at::Tensor& centre,
                                   const std::vector<double>& factors, Products products,
                                   const std::function<bool()>& cancelled);

}  // namespace cuda

}  // namespace transfer_limits
