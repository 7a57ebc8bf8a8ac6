#include <algorithm>
#include <cmath>

#include "checks/checks.h"
#include "kernels/mmd.h"

namespace transfer_limits::checks {
namespace {

// By differences, in float64: the kernel's matrix itself.
std::vector<double> reference(const at::Tensor& a, const at::Tensor& b, bool same_set,
                              const std::vector<double>& sigmas) {
  const at::Tensor squared =
      at::cdist(a.to(at::kDouble), b.to(at::kDouble), 2.0, /*compute_mode=*/2).square();
  std::vector<double> sums;
  for (const double sigma : sigmas) {
    const at::Tensor values = (squared / -(sigma * sigma)).exp();  // [N, M]
    sums.push_back(values.sum().item<double>() - (same_set ? double(a.size(0)) : 0.0));
  }
  return sums;
}

KernelSums own_sums(Target target, const at::Tensor& a, const at::Tensor& b,
                    const std::vector<double>& sigmas, Products products) {
  if (target != Target::kEmulatedCuda) return gaussian_kernel_sums(a, b, sigmas, {}, products);
  std::vector<double> factors;
  factors.reserve(sigmas.size());
  for (const double sigma : sigmas) factors.push_back(-1.0 / (sigma * sigma));
  const at::Tensor centre = at::cat({a, b}).to(at::kDouble).mean(0);  // [d]
  return cuda::kernel_sums_by_products(a, b, centre, factors, products, {});
}

at::Tensor tensor(const std::vector<double>& values) { return at::tensor(values, at::kDouble); }

// Rows so near to each other, for a sigma so small, that no product of float32 tells how near: they are computed again.
void check_near_rows(Report& report) {
  const at::Tensor a = values({150, 768}, 1, at::kFloat);
  at::Tensor b = values({140, 768}, 2, at::kFloat);
  b.narrow(0, 0, 20).copy_(a.narrow(0, 0, 20) + 1e-3 * values({20, 768}, 3, at::kFloat));
  const std::vector<double> sigmas = {0.01 * std::sqrt(512.0)};  // a hundredth of the distance of others
  const KernelSums sums =
      own_sums(report.target(), a.to(report.device()), b.to(report.device()), sigmas, Products::kFloat32);
  report.compare("MMD sums, nearly equal rows", tensor(sums.between), tensor(reference(a, b, false, sigmas)),
                 1e-6);
}

}  // namespace

void check_mmd(Report& report) {
  struct Case {
    int64_t rows_a, rows_b, features;
    double shift;  // of all values from the origin
  };
  // Fewer and more rows than a tile has, odd numbers of features, far from the origin; enough work for products.
  const Case cases[] = {{157, 201, 777, 0.0}, {2061, 40, 33, 0.0}, {150, 140, 768, 50.0},
                        {23, 4111, 129, 1.0}, {128, 513, 64, 1.0}, {300, 1025, 1, 0.0}};
  struct Mode {
    const char* name;
    Products products;
    double tolerance;
  };
  std::vector<Mode> modes = {{"MMD sums, float32 products", Products::kFloat32, 1e-6}};
  if (report.target() == Target::kCpu) {
    modes.push_back({"MMD sums, int16 products", Products::kInt16, 1e-6});
  } else {
    modes.push_back({"MMD sums, three-term bfloat16 products", Products::kThreeTermBfloat16, 1e-5});
    modes.push_back({"MMD sums, bfloat16 products", Products::kBfloat16, 5e-3});
  }
  for (const Case& c : cases) {
    const at::Tensor a = values({c.rows_a, c.features}, 1, at::kFloat) + c.shift;
    const at::Tensor b = values({c.rows_b, c.features}, 2, at::kFloat) * 0.9 + 0.05 + c.shift;
    const double typical = std::sqrt(double(c.features) * 2.0 / 3.0);
    const std::vector<double> sigmas = {typical, 0.5 * typical, 2.0 * typical, 4.0 * typical, 0.3 * typical};
    const auto within_a = reference(a, a, true, sigmas), within_b = reference(b, b, true, sigmas),
               between = reference(a, b, false, sigmas);
    for (const Mode& mode : modes) {
      // Tensor cores are slow to emulate, and their tiles small: others of the cases hold several of them.
      const bool emulated = report.target() == Target::kEmulatedCuda && mode.products != Products::kFloat32;
      if (emulated && c.rows_b > 4096) continue;
      const KernelSums sums =
          own_sums(report.target(), a.to(report.device()), b.to(report.device()), sigmas, mode.products);
      for (size_t s = 0; s < sigmas.size(); ++s) {  // each sum by itself: the largest hides no other
        // An error of a distance counts as often as the distance holds sigma.
        const double tolerance = mode.tolerance * std::max(1.0, std::pow(typical / sigmas[s], 2.0));
        report.compare(mode.name, tensor({sums.within_a[s]}), tensor({within_a[s]}), tolerance);
        report.compare(mode.name, tensor({sums.within_b[s]}), tensor({within_b[s]}), tolerance);
        report.compare(mode.name, tensor({sums.between[s]}), tensor({between[s]}), tolerance);
      }
    }
  }
  check_near_rows(report);
}

}  // namespace transfer_limits::checks
