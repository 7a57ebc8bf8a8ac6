#include "kernels/mmd_rows.h"

#include <cmath>

#include "error.h"

namespace transfer_limits {
namespace {

void check_rows(const at::Tensor& rows, const char* name) {
  require(rows.dim() == 2, "Expected ", name, " of shape [rows, features] but received ", rows.sizes());
  require(rows.size(0) >= 1 && rows.size(1) >= 1, "Expected at least one row and one feature for ", name,
          " but received ", rows.sizes());
  require(rows.scalar_type() == at::kFloat || rows.scalar_type() == at::kDouble,
          "Expected float32 or float64 for ", name, " but received ", at::toString(rows.scalar_type()));
  for_parts(rows, [name](const at::Tensor& part) {
    require(at::isfinite(part).all().item<bool>(), "Expected finite values for ", name,
            " but received NaN or infinity: look at the network that made these features");
  });
}

}  // namespace

void check_pair(const at::Tensor& a, const at::Tensor& b) {
  check_rows(a, "a");
  check_rows(b, "b");
  require(a.size(1) == b.size(1), "Expected as many features in b as in a, ", a.size(1), ", but received ",
          b.size(1));
  require(a.device() == b.device(), "Expected a and b on one device but received ", a.device().str(), " and ",
          b.device().str());
}

at::Tensor mean_row(const at::Tensor& a, const at::Tensor& b) {
  at::Tensor sum = at::zeros({a.size(1)}, a.options().dtype(at::kDouble));
  const auto add = [&sum](const at::Tensor& part) { sum += part.to(at::kDouble).sum(0); };
  for_parts(a, add);
  for_parts(b, add);
  return sum / double(a.size(0) + b.size(0));  // [d]
}

double factor_of(double sigma) {
  const double factor = -1.0 / (sigma * sigma);
  require(std::isfinite(sigma) && sigma > 0 && std::isfinite(factor) && factor < 0,
          "Expected a positive number whose square is neither 0 nor infinite for sigma but received ", sigma);
  return factor;
}

}  // namespace transfer_limits
