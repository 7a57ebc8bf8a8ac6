#pragma once

namespace transfer_limits {

// When the product of two float32 rows is too coarse for |u|^2 + |v|^2 - 2 u.v, and their distance is computed from
// differences instead: where the product's rounding could move the kernel's value by more than kKernelTolerance.

constexpr double kKernelTolerance = 2e-6;
// Of a product, relative to the norms |u|^2 + |v|^2: as it mostly is, and at most, per square root of the features, since
// the products of nearly equal rows add up to ever larger sums.
constexpr double kProductRounding = 8.0 / (1 << 24);
constexpr double kMostProductRounding = 3.0 / (1 << 24);

}  // namespace transfer_limits
