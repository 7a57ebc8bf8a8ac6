#include <ATen/Context.h>

#include "checks/checks.h"
#include "layers/deterministic.h"
#include "layers/numerics.h"

namespace transfer_limits::checks {
namespace {

using Operation = std::function<at::Tensor(const at::Tensor&, GradientBy)>;

// Our gradient beside LibTorch's own on the CPU, in float64; and twice, to the bit.
void check_gradient(Report& report, const std::string& name, const std::vector<int64_t>& size,
                    const Operation& of) {
  const at::Tensor x = values(size, 1, at::kFloat);
  const at::Tensor exact = x.to(at::kDouble).requires_grad_();
  const at::Tensor wanted = of(exact, GradientBy::kLibTorch);
  const at::Tensor gradient = values(wanted.sizes(), 2, at::kFloat);
  const auto wanted_gradient = torch::autograd::grad({wanted}, {exact}, {gradient.to(at::kDouble)})[0];
  std::vector<at::Tensor> answers;
  for (int run = 0; run < 2; ++run) {
    const at::Tensor own = x.to(report.device()).requires_grad_();
    const at::Tensor answer = of(own, GradientBy::kOwn);
    report.compare(name, answer.detach(), wanted.detach(), 3e-6);
    answers.push_back(torch::autograd::grad({answer}, {own}, {gradient.to(report.device())})[0]);
    report.compare(name + ", gradient", answers.back(), wanted_gradient, 3e-6);
  }
  report.compare(name + ", gradient once more", answers[1], answers[0], 0.0);
}

// A flag, as a number that can be compared.
at::Tensor flag(bool on) { return at::full({1}, on ? 1.0 : 0.5, at::kDouble); }

void check_flags(Report& report) {
  const auto allowed = [] {
    return std::pair{at::globalContext().allowTF32CuDNN(at::Float32Op::CONV),
                     at::globalContext().allowTF32CuBLAS()};
  };
  const auto compare = [&](const std::string& what, bool wanted) {
    report.compare("TF32 of convolutions, " + what, flag(allowed().first), flag(wanted), 0.0);
    report.compare("TF32 of products, " + what, flag(allowed().second), flag(wanted), 0.0);
  };
  settle_numerics();
  compare("float32", false);
  {
    const Tf32 outer(Precision::kTf32);
    compare("tf32", true);
    {
      const Tf32 inner(Precision::kTf32);
      compare("tf32 within tf32", true);
    }
    compare("tf32 again", true);
  }
  compare("after tf32", false);
  for (const Precision precision : {Precision::kFloat32, Precision::kBFloat16}) {
    const Tf32 none(precision);
    compare(precision == Precision::kFloat32 ? "float32 asked for" : "bfloat16", false);
  }
}

}  // namespace

void check_numerics(Report& report) {
  if (report.target() == Target::kEmulatedCuda) return;  // nothing of it is a kernel of ours
  check_flags(report);
  for (const std::vector<int64_t>& size :
       std::vector<std::vector<int64_t>>{{7, 9, 5}, {2, 3, 4}, {1, 5, 16}}) {
    check_gradient(report, "trilinear", {2, 3, 3, 5, 8},
                   [&](const at::Tensor& x, GradientBy by) { return trilinear(x, size, by); });
  }
  for (const int64_t edge : {1, 2, 3, 6}) {
    check_gradient(report, "means over boxes", {2, 3, 3, 5, 8},
                   [&](const at::Tensor& x, GradientBy by) { return box_means(x, {edge, edge, edge}, by); });
  }
  for (const std::vector<int64_t>& size : std::vector<std::vector<int64_t>>{{14, 9}, {37, 37}, {50, 40}}) {
    check_gradient(report, "bicubic", {1, 6, 37, 37},
                   [&](const at::Tensor& x, GradientBy by) { return bicubic(x, size, by); });
  }
  for (const Windows& windows : {Windows{2, 2, 0}, Windows{3, 2, 1}, Windows{3, 1, 1}}) {
    for (const std::vector<int64_t>& size :
         std::vector<std::vector<int64_t>>{{2, 3, 4, 6, 8}, {1, 2, 5, 7, 9}}) {
      check_gradient(report, "maxima over windows", size,
                     [&](const at::Tensor& x, GradientBy by) { return window_maxima(x, windows, by); });
    }
  }
}

}  // namespace transfer_limits::checks
