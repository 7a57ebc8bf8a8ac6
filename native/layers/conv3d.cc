#include "layers/conv3d.h"

#include "kernels/winograd_conv3d.h"
#include "layers/channels_last.h"
#include "layers/patch_conv3d.h"

namespace transfer_limits {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

at::Tensor by_onednn(const at::Tensor& x, const at::Tensor& weight) {
  const std::vector<int64_t> padding(3, weight.size(2) / 2);
  const std::vector<int64_t> ones(3, 1);
  return at::mkldnn_convolution(x, weight, /*bias=*/std::nullopt, padding, ones, ones, /*groups=*/1);
}

// As at::conv3d, but by oneDNN whatever the size; see the header.
class SmallConvolution : public torch::autograd::Function<SmallConvolution> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight) {
    context->save_for_backward({x, weight});
    return by_onednn(x, weight);
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor& weight = saved[1];
    const at::Tensor gradient = with_plain_strides(gradients[0].contiguous(x.suggest_memory_format()));
    at::Tensor to_x;
    at::Tensor to_weight;
    // With respect to the input it is the convolution with the flipped kernel, channels exchanged.
    if (context->needs_input_grad(0)) to_x = by_onednn(gradient, weight.flip({2, 3, 4}).transpose(0, 1));
    if (context->needs_input_grad(1)) {
      // A batch of two, each sample half of the depth with its margins, is enough to be given to oneDNN.
      const int64_t margin = weight.size(2) / 2;
      const int64_t half = (x.size(2) + 1) / 2;
      const int64_t missing = 2 * half - x.size(2);
      const auto halves = [half](const at::Tensor& tensor, int64_t before, int64_t after) {
        const at::Tensor whole = at::constant_pad_nd(tensor, {0, 0, 0, 0, before, after});
        const int64_t length = whole.size(2) - half;
        return at::cat({whole.narrow(2, 0, length), whole.narrow(2, half, length)},
                       0);  // [2, C, length, H, W]
      };
      std::tie(std::ignore, to_weight, std::ignore) =
          at::convolution_backward(halves(gradient, 0, missing), halves(x, margin, margin + missing), weight,
                                   at::OptionalIntArrayRef(), {1, 1, 1}, {0, margin, margin}, {1, 1, 1},
                                   /*transposed=*/false, {0, 0, 0}, /*groups=*/1, {false, true, false});
    }
    return {to_x, to_weight};
  }
};

class WinogradConvolution : public torch::autograd::Function<WinogradConvolution> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight) {
    context->save_for_backward({x, weight});
    return winograd_conv3d(x, weight);
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor gradient = gradients[0].contiguous(at::MemoryFormat::ChannelsLast3d);
    at::Tensor to_x, to_weight;
    if (context->needs_input_grad(0)) to_x = winograd_conv3d_input_gradient(gradient, saved[1]);
    if (context->needs_input_grad(1)) to_weight = winograd_conv3d_weight_gradient(gradient, saved[0]);
    return {to_x, to_weight};
  }
};

}  // namespace

at::Tensor conv3d_same(const at::Tensor& volume, const at::Tensor& weight) {
  if (wants_float32(volume, weight)) {
    const WithoutAutocast exact(volume.device());
    return conv3d_same(in_float32(volume), weight);
  }
  const at::Tensor x = with_plain_strides(volume);
  if (weight.size(2) == 1) return patch_conv3d(x, weight, {});
  const int64_t padding = weight.size(2) / 2;
  // In bfloat16 LibTorch gives every size to oneDNN.
  if (!x.device().is_cpu() || x.scalar_type() != at::kFloat || autocast_on(x.device())) {
    return at::conv3d(x, weight, {}, /*stride=*/1, padding);
  }
  if (has_winograd_conv3d(x, weight)) return WinogradConvolution::apply(x, weight);
  // In channels-last memory oneDNN wants kernels in an order of its own, into which LibTorch copies them, and their gradient
  // back, value by value. Where kernels are larger than the volume it is faster to turn the volume.
  const bool turned = x.suggest_memory_format() == at::MemoryFormat::ChannelsLast3d &&
                      weight.numel() > 4 * x.size(1) * x.size(2) * x.size(3) * x.size(4);
  const at::Tensor in = turned ? x.contiguous() : x;
  const bool small = x.size(0) == 1 && x.size(1) * x.size(2) * x.size(3) <= 20480;
  const at::Tensor y =
      small ? SmallConvolution::apply(in, weight) : at::conv3d(in, weight, {}, /*stride=*/1, padding);
  return turned ? y.contiguous(at::MemoryFormat::ChannelsLast3d) : y;
}

}  // namespace transfer_limits
