#include "checks/checks.h"
#include "kernels/layer_norm.h"
#include "layers/layer_norm.h"
#include "layers/precision.h"

namespace transfer_limits::checks {
namespace {

struct NormCase {
  std::vector<int64_t> size;  // [rows..., C]
  double offset = 0;
};

struct Results {
  at::Tensor y, to_x, to_weight, to_bias;
};

// The definition in float64, by LibTorch's operations; its gradients by LibTorch's autograd.
Results exact(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
              const at::Tensor& gradient) {
  const auto leaf = [](const at::Tensor& tensor) { return tensor.cpu().to(at::kDouble).requires_grad_(); };
  const at::Tensor in = leaf(x), by = leaf(weight), plus = leaf(bias);
  const at::Tensor y = at::layer_norm(in, {in.size(-1)}, by, plus, kLayerNormEpsilon);
  const auto found = torch::autograd::grad({y}, {in, by, plus}, {gradient.cpu().to(at::kDouble)});
  return {y.detach(), found[0], found[1], found[2]};
}

// Tensors as the kernel may meet them: dense, behind an odd address, with rows that are not one after the other.
std::vector<at::Tensor> laid(const at::Tensor& tensor) {
  at::Tensor room = at::empty({tensor.numel() + 1}, tensor.options());
  room.slice(0, 1).copy_(tensor.reshape({-1}));
  return {tensor.contiguous(), room.slice(0, 1).view(tensor.sizes()),
          tensor.movedim(-1, 0).contiguous().movedim(0, -1)};
}

void check_kernel(Report& report, const NormCase& c, at::ScalarType in, at::ScalarType out) {
  const int64_t features = c.size.back();
  const at::Tensor weight = values({features}, 2, at::kFloat).add_(1).to(report.device());
  const at::Tensor bias = values({features}, 3, at::kFloat).to(report.device());
  const at::Tensor x = values(c.size, 1, at::kFloat).mul_(2).add_(c.offset).to(report.device(), in);
  const at::Tensor gradient = values(c.size, 4, at::kFloat).to(report.device(), out);
  const Results wanted = exact(x, weight, bias, gradient);
  // What is stored in bfloat16 is rounded to 2^-9.
  const auto stored = [](at::ScalarType type) { return type == at::kFloat ? 3e-6 : 4e-3; };
  const std::string kind = std::string("layer norm from ") + (in == at::kFloat ? "float32" : "bfloat16") +
                           " to " + (out == at::kFloat ? "float32" : "bfloat16") + ", ";
  const std::vector<at::Tensor> inputs = laid(x), incoming = laid(gradient);
  for (size_t layout = 0; layout < inputs.size(); ++layout) {
    const auto [y, statistics] = cuda::layer_norm(inputs[layout], weight, bias, kLayerNormEpsilon, out);
    const auto to = cuda::layer_norm_backward(incoming[layout], inputs[layout], statistics, weight);
    if (y.scalar_type() != out || to.x.scalar_type() != in) report.fail(kind + "types");
    // Added to 1 or 2: of one feature they are 0, or a bias, but for the epsilon.
    report.compare(kind + "answer", y.to(at::kFloat) + 2, wanted.y + 2, stored(out));
    report.compare(kind + "gradient of x", to.x.to(at::kFloat) + 1, wanted.to_x + 1, stored(in));
    report.compare(kind + "gradient of the weight", to.weight + 1, wanted.to_weight + 1, 3e-6);
    report.compare(kind + "gradient of the bias", to.bias, wanted.to_bias, 3e-6);
  }
}

// Of many equal gradients in bfloat16, which a sum in bfloat16 would lose: 256 and one more are 256.
void check_layer(Report& report) {
  const int64_t rows = 5000, features = 24;
  const at::Tensor x = values({rows, features}, 1, at::kFloat).to(at::kBFloat16);
  const auto gradients = [&](const at::Device& device, at::ScalarType type, at::ScalarType of_weights) {
    const auto leaf = [&](const at::Tensor& tensor, at::ScalarType as) {
      return tensor.to(device, as).requires_grad_();
    };
    const at::Tensor own = leaf(x, type), weight = leaf(values({features}, 2, at::kFloat), of_weights),
                     bias = leaf(values({features}, 3, at::kFloat), of_weights);
    const at::Tensor answer = layer_norm(own, weight, bias);
    // Of one sign in all rows.
    return torch::autograd::grad(
        {answer}, {own, weight, bias},
        {(values({rows, features}, 4, at::kFloat) + 2).to(device, answer.scalar_type())});
  };
  const auto wanted = gradients(at::kCPU, at::kDouble, at::kDouble),
             own = gradients(report.device(), at::kBFloat16, at::kFloat);
  report.compare("layer norm in bfloat16, gradient of the input", own[0], wanted[0], 1e-2);
  report.compare("layer norm in bfloat16, gradient of the weight", own[1], wanted[1], 1e-2);
  report.compare("layer norm in bfloat16, gradient of the bias", own[2], wanted[2], 1e-3);
}

// Under autocast: what goes into a product is what the product would have made of the answer in float32.
void check_operand(Report& report) {
  const at::Tensor x = values({40, 24}, 1, at::kFloat).to(report.device());
  const at::Tensor weight = values({24}, 2, at::kFloat).to(report.device());
  const at::Tensor bias = values({24}, 3, at::kFloat).to(report.device());
  const Autocast autocast(Precision::kBFloat16, report.device());
  const at::Tensor answer = layer_norm(x, weight, bias);
  if (answer.scalar_type() != at::kFloat) report.fail("layer norm under autocast, type");
  const at::Tensor operand = layer_norm_operand(x, weight, bias);
  if (report.target() == Target::kCuda && operand.scalar_type() != at::kBFloat16) {
    report.fail("layer norm of an operand, type");
  }
  // The two may round a last digit of float32, and so bfloat16's, differently.
  report.compare("layer norm of an operand", operand.to(at::kBFloat16).to(at::kFloat),
                 answer.to(at::kBFloat16).to(at::kDouble), 1e-3);
}

}  // namespace

void check_layer_norm(Report& report) {
  if (report.target() != Target::kEmulatedCuda) {
    check_layer(report);
    check_operand(report);
  }
  if (report.target() == Target::kCpu) return;  // LibTorch's own
  // One feature, fewer than a warp's, no multiple of a load, more than a block has room for; one row, several parts; far
  // from 0
  const NormCase cases[] = {{{3, 1}},     {{5, 7}},    {{2, 3, 24}}, {{1, 768}},     {{1100, 20}},
                            {{700, 130}}, {{9, 6144}}, {{70, 1001}}, {{40, 96}, 50}, {{2, 3, 5, 7, 32}}};
  for (const NormCase& c : cases) {
    for (const at::ScalarType in : {at::kFloat, at::kBFloat16}) {
      for (const at::ScalarType out : {at::kFloat, at::kBFloat16}) check_kernel(report, c, in, out);
    }
  }
}

}  // namespace transfer_limits::checks
