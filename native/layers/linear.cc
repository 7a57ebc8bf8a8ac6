#include "layers/linear.h"

#include <optional>

#include "kernels/linear_product.h"
#include "layers/precision.h"

namespace transfer_limits {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

class LinearFunction : public torch::autograd::Function<LinearFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias) {
    context->save_for_backward({x, weight});
    context->saved_data["biased"] = bias.has_value();
    return linear_product(x, weight, bias.value_or(at::Tensor()));
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const at::Tensor gradient = gradients[0].reshape({-1, weight.size(0)});  // [R, M]
    at::Tensor to_x, to_weight, to_bias;
    if (context->needs_input_grad(0)) to_x = linear_product(gradient, weight.t()).view(x.sizes());
    if (context->needs_input_grad(1)) to_weight = at::mm(gradient.t(), x.reshape({-1, weight.size(1)}));
    if (context->saved_data["biased"].toBool() && context->needs_input_grad(2)) to_bias = gradient.sum(0);
    return {to_x, to_weight, to_bias};
  }
};

bool differentiated(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return at::GradMode::is_enabled() &&
         (x.requires_grad() || weight.requires_grad() || (bias.defined() && bias.requires_grad()));
}

}  // namespace

bool takes_linear_product(const at::Tensor& x) {
  return x.device().is_cpu() && x.scalar_type() == at::kFloat && !autocast_on(x.device());
}

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (!takes_linear_product(x)) return at::linear(x, weight, bias);
  if (!differentiated(x, weight, bias)) return linear_product(x, weight, bias);
  return LinearFunction::apply(x, weight, bias.defined() ? std::optional(bias) : std::nullopt);
}

at::Tensor linear_gelu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (!takes_linear_product(x) || differentiated(x, weight, bias)) return at::gelu(linear(x, weight, bias));
  return linear_product(x, weight, bias, Activation::kGelu);
}

}  // namespace transfer_limits
