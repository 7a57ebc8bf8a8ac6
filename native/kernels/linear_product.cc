#include "kernels/linear_product.h"

#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>

namespace transfer_limits {
namespace {

constexpr int64_t kWorthwhile = 1 << 20;  // multiplications; below, a call costs more than it saves

using LinearPointwise = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                                   std::string_view, c10::List<std::optional<at::Scalar>>,
                                   std::optional<std::string_view>);

// oneDNN's linear layer, as torch.compile calls it; none where this LibTorch has none of this form.
std::optional<c10::TypedOperatorHandle<LinearPointwise>> find_linear_pointwise() {
  const auto found = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
  if (!found.has_value() || !at::globalContext().hasMKLDNN()) return std::nullopt;
  try {
    return found->typed<LinearPointwise>();
  } catch (const c10::Error&) {
    return std::nullopt;
  }
}

bool takes_onednn(const at::Tensor& x, const at::Tensor& weight) {
  return x.device().is_cpu() && x.scalar_type() == at::kFloat && weight.scalar_type() == at::kFloat &&
         x.dim() >= 2 && x.numel() > 0 && x.numel() * weight.size(0) >= kWorthwhile &&
         at::globalContext().userEnabledMkldnn();
}

}  // namespace

at::Tensor linear_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                          Activation activation) {
  const at::NoGradGuard no_grad;
  static const auto linear_pointwise = find_linear_pointwise();
  const bool gelu = activation == Activation::kGelu;
  if (linear_pointwise.has_value() && takes_onednn(x, weight)) {
    const std::optional<at::Tensor> offset = bias.defined() ? std::optional(bias) : std::nullopt;
    return linear_pointwise->call(x.contiguous(), weight, offset, gelu ? "gelu" : "none",
                                  c10::List<std::optional<at::Scalar>>(), "none");
  }
  const at::Tensor y = at::linear(x, weight, bias);
  return gelu ? at::gelu(y) : y;
}

}  // namespace transfer_limits
