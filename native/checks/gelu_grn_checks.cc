#include <cmath>

#include "checks/checks.h"
#include "kernels/gelu_grn.h"
#include "layers/grn_perceptron.h"

namespace transfer_limits::checks {
namespace {

struct GeluGrnFunctions {
  std::pair<at::Tensor, at::Tensor> (*forward)(const at::Tensor&, const at::Tensor&, const at::Tensor&, bool);
  at::Tensor (*backward)(at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                         const at::Tensor&, const at::Tensor&);
  at::Tensor (*weight_gradient)(at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                const at::Tensor&);
};

GeluGrnFunctions gelu_grn_functions(Target target) {
  if (target == Target::kEmulatedCuda) {
    return {&cuda::gelu_with_norms, &cuda::gelu_grn_backward, &cuda::weight_gradient_on_grn};
  }
  return {&gelu_with_norms, &gelu_grn_backward, &weight_gradient_on_grn};
}

std::string named_norm(const char* what, at::ScalarType type) {
  return std::string(what) + ", " + at::toString(type);
}

// bfloat16 is for CUDA alone.
std::vector<at::ScalarType> types_of(Target target) {
  if (target == Target::kCpu) return {at::kFloat};
  return {at::kFloat, at::kBFloat16};
}

// The same dense values, but no address is a multiple of what a wide load takes.
at::Tensor misaligned(const at::Tensor& tensor) {
  at::Tensor room = at::empty({tensor.numel() + 1}, tensor.options());
  return room.narrow(0, 1, tensor.numel()).view(tensor.sizes()).copy_(tensor);
}

void check_rows(Report& report, const std::vector<int64_t>& size, at::ScalarType type) {
  const GeluGrnFunctions own = gelu_grn_functions(report.target());
  const double tolerance = type == at::kFloat ? 5e-6 : 4e-3;  // GELU's tail; half a unit of a bfloat16
  const at::Device device = report.device();
  const at::Tensor hidden = values(size, 1, at::kFloat).mul_(4).to(type), gradient = values(size, 2, type);
  const at::Tensor bias = values({size[2]}, 3, at::kFloat), slope = values({size[0], size[2]}, 4, at::kFloat);
  const at::Tensor mask = values({size[0], size[1]}, 5, at::kFloat).gt(-0.3).to(at::kFloat);
  for (const bool masked : {false, true}) {
    // By the definition: gelu(x) = x times the share of a normal distribution below x.
    const at::Tensor keep = masked ? mask.to(at::kDouble).unsqueeze(2) : at::ones({1}, at::kDouble);
    const at::Tensor x = hidden.to(at::kDouble) + bias.to(at::kDouble);
    const at::Tensor below = 0.5 * at::erfc(-x * std::sqrt(0.5));
    const at::Tensor density = at::exp(-0.5 * x * x) / std::sqrt(2 * M_PI);
    const at::Tensor activated = x * below * keep;
    const at::Tensor wanted = (gradient.to(at::kDouble) + activated * slope.to(at::kDouble).unsqueeze(1)) *
                              keep * (below + x * density);
    const at::Tensor own_keep = masked ? mask.to(device) : at::Tensor();
    for (const bool aligned : {true, false}) {
      const auto placed = [&device, aligned](const at::Tensor& tensor) {
        return aligned ? tensor.to(device).clone() : misaligned(tensor.to(device));
      };
      const at::Tensor rows = placed(hidden), b = bias.to(device), s = slope.to(device);
      const auto [answer, norms] = own.forward(rows, b, own_keep, /*in_place=*/false);
      report.compare(named_norm("GELU before GRN", type), answer, activated, tolerance);
      report.compare(named_norm("norms of GRN", type), norms, at::linalg_vector_norm(activated, 2, {1}),
                     5e-6);
      at::Tensor to_hidden = placed(gradient);
      const at::Tensor sums = own.backward(to_hidden, answer, rows, b, own_keep, s);
      report.compare(named_norm("gradient through GRN's norms and GELU", type), to_hidden, wanted, tolerance);
      report.compare(named_norm("gradient of GELU's bias", type), sums, wanted.sum(at::IntArrayRef({0, 1})),
                     5e-6);
      const auto [over, same_norms] = own.forward(rows, b, own_keep, /*in_place=*/true);
      report.compare(named_norm("GELU before GRN, in place", type), rows, activated, tolerance);
      report.compare(named_norm("norms of GRN, in place", type), same_norms, norms, 0.0);
    }
  }
}

void check_weight_gradient(Report& report, int64_t outputs, int64_t features) {
  const at::Device device = report.device();
  const at::Tensor plain = values({outputs, features}, 1, at::kFloat);
  const at::Tensor weight = values({outputs, features}, 2, at::kFloat);
  const at::Tensor scale = values({features}, 3, at::kFloat), beta = values({features}, 4, at::kFloat);
  const at::Tensor to_bias = values({outputs}, 5, at::kFloat);
  at::Tensor result = plain.to(device).clone();
  const at::Tensor to_scale =
      gelu_grn_functions(report.target())
          .weight_gradient(result, weight.to(device), scale.to(device), to_bias.to(device), beta.to(device));
  const at::Tensor exact = plain.to(at::kDouble);
  report.compare("weight gradient on GRN", result,
                 exact * scale.to(at::kDouble) + at::outer(to_bias.to(at::kDouble), beta.to(at::kDouble)),
                 1e-6);
  report.compare("gradient of GRN's scale", to_scale, (exact * weight.to(at::kDouble)).sum(0), 1e-6);
}

// The whole step, beside single operations in float64.
void check_perceptron(Report& report, const std::vector<int64_t>& size, at::ScalarType type, bool masked) {
  const int64_t channels = size.back(), features = 4 * channels;
  const double tolerance = type == at::kFloat ? 1e-5 : 1.5e-2;
  // In the order of the parameters; the weights and the input are of that type.
  const at::Tensor leaves[] = {values(size, 1, type),
                               values({features, channels}, 2, type),
                               values({features}, 3, at::kFloat),
                               values({features}, 4, at::kFloat),
                               values({features}, 5, at::kFloat),
                               values({channels, features}, 6, type),
                               values({channels}, 7, at::kFloat)};
  const at::Tensor gradient = values(size, 8, type);
  std::vector<int64_t> keep_size = size;
  keep_size.back() = 1;
  const at::Tensor keep = masked ? values(keep_size, 9, at::kFloat).gt(-0.3).to(at::kFloat) : at::Tensor();
  std::vector<at::Tensor> exact, own;
  for (const at::Tensor& leaf : leaves) {
    exact.push_back(leaf.to(at::kDouble).requires_grad_());
    own.push_back(leaf.to(report.device()).requires_grad_());
  }
  at::Tensor y = at::gelu(at::linear(exact[0], exact[1], exact[2]));
  if (masked) y = y * keep.to(at::kDouble);
  const at::Tensor norm = at::linalg_vector_norm(y, 2, at::IntArrayRef({1, 2, 3}), /*keepdim=*/true);
  y = y + exact[3] * (y * (norm / (norm.mean(-1, /*keepdim=*/true) + 1e-6))) + exact[4];
  y = at::linear(y, exact[5], exact[6]);
  const auto wanted = torch::autograd::grad({y}, exact, {gradient.to(at::kDouble)});
  const at::Tensor own_keep = masked ? keep.to(report.device()) : keep;
  const GrnPerceptronParameters parameters{own[1], own[2], own[3], own[4], own[5], own[6]};
  {
    const at::NoGradGuard no_grad;
    report.compare(named_norm("GRN perceptron", type), grn_perceptron(own[0], parameters, own_keep),
                   y.detach(), tolerance);
  }
  const at::Tensor answer = grn_perceptron(own[0], parameters, own_keep);
  report.compare(named_norm("GRN perceptron, differentiated", type), answer.detach(), y.detach(), tolerance);
  const auto gradients = torch::autograd::grad({answer}, own, {gradient.to(report.device())});
  for (size_t i = 0; i < wanted.size(); ++i) {
    report.compare(named_norm("GRN perceptron, gradients", type), gradients[i], wanted[i], tolerance);
  }
}

}  // namespace

void check_gelu_grn(Report& report) {
  // [N, V, F]: one feature, features that fill no load, more rows than a block takes
  const std::vector<std::vector<int64_t>> sizes = {{1, 1, 1},    {2, 3, 5},     {1, 67, 16},   {2, 130, 40},
                                                   {1, 65, 132}, {3, 1000, 24}, {1, 517, 264}, {2, 9, 520}};
  for (const at::ScalarType type : types_of(report.target())) {
    for (const std::vector<int64_t>& size : sizes) check_rows(report, size, type);
  }
  for (const int64_t outputs : {1, 7, 33, 96}) {
    for (const int64_t features : {1, 31, 70, 384}) check_weight_gradient(report, outputs, features);
  }
  if (report.target() == Target::kEmulatedCuda) return;  // it chooses the kernels by the device
  for (const at::ScalarType type : types_of(report.target())) {
    for (const bool masked : {false, true}) {
      check_perceptron(report, {1, 3, 4, 5, 8}, type, masked);
      check_perceptron(report, {2, 1, 2, 3, 40}, type, masked);
      check_perceptron(report, {3, 5, 6, 7, 12}, type, masked);
    }
  }
}

}  // namespace transfer_limits::checks
