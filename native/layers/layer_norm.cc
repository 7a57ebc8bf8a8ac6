#include "layers/layer_norm.h"

namespace transfer_limits {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// The answer is LibTorch's; the gradients are those of the same numbers in float32.
class NarrowLayerNorm : public torch::autograd::Function<NarrowLayerNorm> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias) {
    auto [answer, mean, deviation] = at::native_layer_norm(x, {x.size(-1)}, weight, bias, kLayerNormEpsilon);
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
    return {as(to_x, x), as(to_weight, saved[1]), as(to_bias, saved[2])};
  }
};

}  // namespace

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const bool narrow = x.is_cpu() && at::isReducedFloatingType(x.scalar_type()) && at::GradMode::is_enabled();
  if (narrow) return NarrowLayerNorm::apply(x, weight, bias);
  return at::layer_norm(x, {x.size(-1)}, weight, bias, kLayerNormEpsilon);
}

}  // namespace transfer_limits
