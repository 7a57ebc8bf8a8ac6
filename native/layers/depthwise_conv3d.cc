#include "layers/depthwise_conv3d.h"

#include "kernels/depthwise_conv3d.h"
#include "layers/precision.h"

namespace transfer_limits {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

class DepthwiseFunction : public torch::autograd::Function<DepthwiseFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias) {
    context->save_for_backward({x, weight});
    return depthwise_conv3d(x, weight, bias);
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor& weight = saved[1];
    // What the kernels take: turned once for both.
    const at::Tensor gradient = gradients[0].contiguous(at::MemoryFormat::ChannelsLast3d);
    at::Tensor to_x;
    at::Tensor to_weight;
    at::Tensor to_bias;
    if (context->needs_input_grad(0)) to_x = depthwise_conv3d_input_gradient(gradient, weight);
    if (context->needs_input_grad(1) || context->needs_input_grad(2)) {
      std::tie(to_weight, to_bias) = depthwise_conv3d_weight_gradient(gradient, x, weight.size(2));
    }
    return {to_x, to_weight, to_bias};
  }
};

}  // namespace

DepthwiseConv3dImpl::DepthwiseConv3dImpl(int64_t channels, int64_t kernel)
    : weight(register_parameter("weight", torch::empty({channels, 1, kernel, kernel, kernel}))),
      bias(register_parameter("bias", torch::zeros({channels}))) {
  torch::nn::init::normal_(weight, 0.0, 0.02);
}

at::Tensor DepthwiseConv3dImpl::forward(const at::Tensor& x) {
  return DepthwiseFunction::apply(autocast_operand(x), autocast_operand(weight), autocast_operand(bias));
}

}  // namespace transfer_limits
