#include "layers/group_norm.h"

#include <optional>

namespace transfer_limits {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast3d;

class GroupNormActivated : public torch::autograd::Function<GroupNormActivated> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, int64_t groups,
                            const std::optional<at::Tensor>& own_weight,
                            const std::optional<at::Tensor>& own_bias, int64_t activation,
                            const std::optional<at::Tensor>& added) {
    const at::Tensor weight = own_weight.value_or(at::Tensor());
    const at::Tensor bias = own_bias.value_or(at::Tensor());
    const at::Tensor residual = added.value_or(at::Tensor());
    const at::Tensor dense = x.contiguous(kChannelsLast);
    const auto [y, statistics] = group_norm_activated(
        dense, groups, weight, bias, residual.defined() ? residual.contiguous(kChannelsLast) : at::Tensor(),
        AfterNorm(activation));
    const bool reads_answer = AfterNorm(activation) == AfterNorm::kLeakyRelu;
    context->save_for_backward({dense, reads_answer ? y : at::Tensor(), statistics, weight, bias});
    context->saved_data["groups"] = groups;
    context->saved_data["activation"] = activation;
    context->saved_data["residual"] = residual.defined();
    return y;
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto to = group_norm_backward(gradients[0].contiguous(kChannelsLast), saved[0], saved[1], saved[2],
                                        context->saved_data["groups"].toInt(), saved[3], saved[4],
                                        context->saved_data["residual"].toBool(),
                                        AfterNorm(context->saved_data["activation"].toInt()));
    return {to.x,
            at::Tensor(),
            saved[3].defined() ? to.weight : at::Tensor(),
            saved[4].defined() ? to.bias : at::Tensor(),
            at::Tensor(),
            to.residual};
  }
};

// The same by LibTorch's operations.
at::Tensor composed(const at::Tensor& x, int64_t groups, const at::Tensor& weight, const at::Tensor& bias,
                    AfterNorm activation, const at::Tensor& residual) {
  at::Tensor y = groups == x.size(1)
                     ? at::instance_norm(x, weight, bias, {}, {}, /*use_input_stats=*/true, /*momentum=*/0.1,
                                         kNormEpsilon, /*cudnn_enabled=*/true)
                     : at::group_norm(x, groups, weight, bias, kNormEpsilon);
  if (residual.defined()) y = y + residual;
  if (activation == AfterNorm::kLeakyRelu) return at::leaky_relu(y, kLeakySlope);
  return activation == AfterNorm::kSilu ? at::silu(y) : y;
}

}  // namespace

at::Tensor group_norm(const at::Tensor& x, int64_t groups, const at::Tensor& weight, const at::Tensor& bias,
                      AfterNorm activation, const at::Tensor& residual) {
  const at::ScalarType type = x.scalar_type();
  const auto is_float = [](const at::Tensor& tensor) {
    return !tensor.defined() || tensor.scalar_type() == at::kFloat;
  };
  const bool fits = (x.is_cpu() || x.is_cuda()) && x.numel() > 0 &&
                    (type == at::kFloat || (x.is_cuda() && type == at::kBFloat16)) && is_float(weight) &&
                    is_float(bias) && (!residual.defined() || residual.scalar_type() == type);
  if (!fits) return composed(x, groups, weight, bias, activation, residual);
  // LibTorch asks each tensor that it is given for its device.
  const auto if_defined = [](const at::Tensor& tensor) {
    return tensor.defined() ? std::optional<at::Tensor>(tensor) : std::nullopt;
  };
  return GroupNormActivated::apply(x, groups, if_defined(weight), if_defined(bias), int64_t(activation),
                                   if_defined(residual));
}

}  // namespace transfer_limits
