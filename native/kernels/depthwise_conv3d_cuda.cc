#include "kernels/depthwise_conv3d_cuda.h"

#include "kernels/cuda_stream.h"
#include "kernels/depthwise_conv3d.h"

namespace transfer_limits::cuda {
namespace {

constexpr int64_t kKernel = 7;

// Whether the kernels of this project do it: LibTorch's own do other sizes and types.
bool is_ours(const at::Tensor& x, int64_t kernel) {
  return kernel == kKernel && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) &&
         x.numel() > 0;
}

DepthwiseShape shape_of(const at::Tensor& x) {
  return {x.size(0), x.size(2), x.size(3), x.size(4), x.size(1)};
}

at::Tensor channels_last(const at::Tensor& volume) {
  return volume.detach().contiguous(at::MemoryFormat::ChannelsLast3d);
}

// [C, 1, k, k, k] -> [k * k * k, C]
at::Tensor taps_first(const at::Tensor& weight) {
  return weight.detach().to(at::kFloat).flatten(1).t().contiguous();
}

at::Tensor convolved(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (!is_ours(x, weight.size(2))) {
    return at::conv3d(x, weight, bias, /*stride=*/1, /*padding=*/weight.size(2) / 2, /*dilation=*/1,
                      /*groups=*/weight.size(0));
  }
  const DeviceGuard guard(x);
  const at::Tensor volume = channels_last(x), taps = taps_first(weight);  // [N, C, D, H, W], [343, C]
  const at::Tensor start = bias.defined() ? bias.detach().to(at::kFloat).contiguous() : at::Tensor();
  const float* start_values = start.defined() ? values_of<float>(start) : nullptr;
  at::Tensor out = at::empty_like(volume, at::MemoryFormat::ChannelsLast3d);
  if (x.scalar_type() == at::kFloat) {
    convolve_depthwise(shape_of(x), values_of<float>(volume), values_of<float>(taps), start_values,
                       static_cast<float*>(out.data_ptr()), current_stream());
  } else {
    convolve_depthwise(shape_of(x), values_of<Bfloat16>(volume), values_of<float>(taps), start_values,
                       static_cast<Bfloat16*>(out.data_ptr()), current_stream());
  }
  return out;
}

// [343, C], float64: the sum of all parts
template <typename Value>
at::Tensor tap_sums(const at::Tensor& gradient, const at::Tensor& x) {
  const DepthwiseShape shape = shape_of(x);
  const int64_t parts = depthwise_weight_gradient_parts<Value>(shape);
  const at::Tensor sums =
      at::empty({parts, kKernel * kKernel * kKernel, shape.channels}, x.options().dtype(at::kFloat));
  correlate_depthwise(shape, values_of<Value>(gradient), values_of<Value>(x), sums.data_ptr<float>(), parts,
                      current_stream());
  return sums.sum(0, /*keepdim=*/false, at::kDouble);
}

}  // namespace

at::Tensor depthwise_conv3d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return convolved(x, weight, bias);
}

at::Tensor depthwise_conv3d_input_gradient(const at::Tensor& gradient, const at::Tensor& weight) {
  return convolved(gradient, weight.flip({2, 3, 4}), {});
}

std::pair<at::Tensor, at::Tensor> depthwise_conv3d_weight_gradient(const at::Tensor& gradient,
                                                                   const at::Tensor& x, int64_t kernel) {
  const int64_t channels = x.size(1), padding = kernel / 2;
  if (!is_ours(x, kernel)) {
    const at::Tensor weight =
        at::empty({channels, 1, kernel, kernel, kernel}, x.options());  // its shape alone
    const std::vector<int64_t> bias_sizes = {channels};
    const auto [to_x, to_weight, to_bias] = at::convolution_backward(
        gradient, x, weight, at::OptionalIntArrayRef(bias_sizes), {1, 1, 1}, {padding, padding, padding},
        {1, 1, 1}, /*transposed=*/false, {0, 0, 0}, channels, {false, true, true});
    return {to_weight, to_bias};
  }
  const DeviceGuard guard(x);
  const at::Tensor wanted = channels_last(gradient.to(x.scalar_type())), volume = channels_last(x);
  const at::Tensor sums =
      x.scalar_type() == at::kFloat ? tap_sums<float>(wanted, volume) : tap_sums<Bfloat16>(wanted, volume);
  const at::Tensor to_bias = wanted.sum(at::IntArrayRef({0, 2, 3, 4}), /*keepdim=*/false, at::kFloat);  // [C]
  return {sums.t().reshape({channels, 1, kernel, kernel, kernel}).to(x.scalar_type()),
          to_bias.to(x.scalar_type())};
}

}  // namespace transfer_limits::cuda
