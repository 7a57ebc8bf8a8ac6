#include "kernels/matched_rows.h"

#include <algorithm>
#include <cmath>

#include "error.h"
#include "kernels/mmd_rows.h"

namespace transfer_limits {
namespace {

struct Centred {
  at::Tensor mean;      // [d]
  at::Tensor rows;      // [N, d], less the mean
  at::Tensor norms;     // [N], squared
  double total = 0;     // of the norms
  bool a_point = true;  // all rows are equal but for rounding
};

// `largest`: of all values of both sets; divided by it, no square overflows.
Centred centred(const at::Tensor& set, double largest) {
  const at::Tensor values = set.to(at::kDouble) / largest;
  Centred result;
  result.mean = values.mean(0);
  result.rows = values - result.mean;
  result.norms = result.rows.square().sum(1);
  result.total = result.norms.sum().item<double>();
  // Rows that a network makes equal differ by the rounding of their type.
  const double rounding = set.scalar_type() == at::kFloat ? 0x1p-21 : 0x1p-46;
  const double size = values.square().sum().item<double>();
  result.a_point = std::sqrt(result.total) <= rounding * std::sqrt(size);
  return result;
}

// A small matrix with the singular values of aᵀb. With fewer rows than features, aᵀ = QR and bᵀ = PS give aᵀb = Q RSᵀ Pᵀ.
at::Tensor core_of(const at::Tensor& a, const at::Tensor& b) {
  if (a.size(0) >= a.size(1)) return at::mm(a.t(), b);  // [d, d]
  const auto triangle = [](const at::Tensor& rows) { return std::get<1>(at::linalg_qr(rows.t(), "r")); };
  return at::mm(triangle(a), triangle(b).t());  // [N, N]
}

// The unbiased HSIC (Song et al. 2012, equation 5) of two linear kernels, times N (N - 3), of centred rows. With K = aaᵀ,
// L = bbᵀ and their diagonals set to 0, the rows of K and L sum to minus their squared norms, so that
// tr KL = |aᵀb|² - r·s, 1ᵀKL1 = r·s, 1ᵀK1 = -Σr and 1ᵀL1 = -Σs.
double unbiased_hsic(double squared_core, const Centred& a, const Centred& b) {
  const auto n = static_cast<double>(a.rows.size(0));
  const double product = a.norms.dot(b.norms).item<double>();
  return squared_core - product + a.total * b.total / ((n - 1) * (n - 2)) - 2 * product / (n - 2);
}

double squared_norm(const at::Tensor& matrix) { return matrix.square().sum().item<double>(); }

std::optional<double> linear_cka(const Centred& a, const Centred& b, const at::Tensor& core) {
  if (a.rows.size(0) < 4 || a.a_point || b.a_point) return std::nullopt;
  const double own_a = unbiased_hsic(squared_norm(core_of(a.rows, a.rows)), a, a);
  const double own_b = unbiased_hsic(squared_norm(core_of(b.rows, b.rows)), b, b);
  if (!(own_a > 0 && own_b > 0)) return std::nullopt;
  return unbiased_hsic(squared_norm(core), a, b) / (std::sqrt(own_a) * std::sqrt(own_b));
}

}  // namespace

MatchedRows compare_matched_rows(const at::Tensor& a, const at::Tensor& b) {
  const at::NoGradGuard no_grad;
  const double largest_value = check_pair(a, b).largest;
  const double largest = largest_value > 0 ? largest_value : 1;
  require(a.size(0) == b.size(0), "Expected as many rows in b as in a, ", a.size(0),
          ", since row i of both is of one case, but received ", b.size(0));
  const Centred in_a = centred(a, largest), in_b = centred(b, largest);
  const auto degrees = static_cast<double>(a.size(0) - 1);
  MatchedRows result;
  if (degrees < 1) return result;
  const double spread_a = in_a.a_point ? 0 : std::sqrt(in_a.total / degrees);
  const double spread_b = in_b.a_point ? 0 : std::sqrt(in_b.total / degrees);
  result.deviation_a = spread_a * largest;
  result.deviation_b = spread_b * largest;
  const double within = std::hypot(spread_a, spread_b) / std::sqrt(2.0);
  if (within > 0) result.mean_shift = (in_a.mean - in_b.mean).norm().item<double>() / within;
  const at::Tensor core = core_of(in_a.rows, in_b.rows);
  result.linear_cka = linear_cka(in_a, in_b, core);
  if (!in_a.a_point && !in_b.a_point) {
    const double nuclear = at::linalg_svdvals(core).sum().item<double>();
    const double scale = std::sqrt(in_a.total) * std::sqrt(in_b.total);
    result.procrustes = std::max(0.0, 2 - 2 * nuclear / scale);
  }
  return result;
}

}  // namespace transfer_limits
