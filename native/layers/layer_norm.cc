#include "layers/layer_norm.h"

#include "kernels/layer_norm.h"
#include "layers/precision.h"

namespace transfer_limits {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// On a CPU the answer is LibTorch's; the gradients are those of the same numbers in float32.
class NarrowLayerNorm : public torch::autograd::Function<NarrowLayerNorm> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, double epsilon) {
    auto [answer, mean, deviation] = at::native_layer_norm(x, {x.size(-1)}, weight, bias, epsilon);
    context->save_for_backward({x, weight, bias, mean, deviation});
    return answer;
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto exact = [](const at::Tensor& tensor) { return tensor.to(at::kFloat); };
    const at::Tensor& x = saved[0];
    auto [to_x, to_weight, to_bias] = at::native_layer_norm_backward(
        exact(gradients[0]), exact(x), {x.size(-1)}, exact(saved[3]), exact(saved[4]), exact(saved[1]),
        exact(saved[2]),
        {context->needs_input_grad(0), context->needs_input_grad(1), context->needs_input_grad(2)});
    const auto as = [](const at::Tensor& gradient, const at::Tensor& of) {
      return gradient.defined() ? gradient.to(of.scalar_type()) : gradient;
    };
    return {as(to_x, x), as(to_weight, saved[1]), as(to_bias, saved[2]), at::Tensor()};
  }
};

// On CUDA, by our kernel, which reads and writes either type.
class MixedLayerNorm : public torch::autograd::Function<MixedLayerNorm> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, double epsilon, at::ScalarType type) {
    const WithoutAutocast no_autocast(x.device());
    auto [answer, statistics] = cuda::layer_norm(x, weight, bias, epsilon, type);
    context->save_for_backward({x, weight, statistics});
    return answer;
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const WithoutAutocast no_autocast(saved[0].device());
    const auto to = cuda::layer_norm_backward(gradients[0], saved[0], saved[2], saved[1]);
    return {to.x, to.weight, to.bias, at::Tensor(), at::Tensor()};
  }
};

bool mixes(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return x.is_cuda() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) &&
         x.numel() > 0 && x.size(-1) <= cuda::kMostNormFeatures && weight.scalar_type() == at::kFloat &&
         bias.scalar_type() == at::kFloat;
}

}  // namespace

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double epsilon) {
  const bool narrow = at::isReducedFloatingType(x.scalar_type());
  if (narrow && x.is_cpu() && at::GradMode::is_enabled())
    return NarrowLayerNorm::apply(x, weight, bias, epsilon);
  if (narrow && mixes(x, weight, bias)) {
    // As autocast has LibTorch's answer in float32.
    return MixedLayerNorm::apply(x, weight, bias, epsilon,
                                 autocast_on(x.device()) ? at::kFloat : x.scalar_type());
  }
  return at::layer_norm(x, {x.size(-1)}, weight, bias, epsilon);
}

at::Tensor layer_norm_operand(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                              double epsilon) {
  if (!autocast_on(x.device()) || !mixes(x, weight, bias)) return layer_norm(x, weight, bias, epsilon);
  return MixedLayerNorm::apply(x, weight, bias, epsilon, at::autocast::get_autocast_dtype(x.device().type()));
}

}  // namespace transfer_limits
