#include "kernels/group_norm_cuda.h"

#include "error.h"
#include "kernels/cuda_stream.h"
#include "kernels/group_norm.h"

namespace transfer_limits::cuda {
namespace {

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast3d;

NormShape shape_of(const at::Tensor& x, int64_t groups) {
  require(x.dim() == 5 && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) &&
              x.is_contiguous(kChannelsLast) && x.numel() > 0,
          "Expected a float32 or bfloat16 volume [N, C, D, H, W] in channels-last memory but received ",
          at::toString(x.scalar_type()), " ", x.sizes());
  require(groups > 0 && x.size(1) % groups == 0, "Expected groups that divide ", x.size(1),
          " channels but received ", groups);
  return {x.size(0), x.size(1), x.size(2) * x.size(3) * x.size(4), groups};
}

at::Tensor beside(const at::Tensor& x, const at::Tensor& other) {
  require(other.sizes() == x.sizes() && other.scalar_type() == x.scalar_type() &&
              other.is_contiguous(kChannelsLast),
          "Expected a volume as large as ", x.sizes(),
          " and of its type in channels-last memory but received ", at::toString(other.scalar_type()), " ",
          other.sizes());
  return aligned(other);
}

at::Tensor of_channels(const at::Tensor& tensor, int64_t channels) {
  if (!tensor.defined()) return tensor;
  require(tensor.dim() == 1 && tensor.size(0) == channels && tensor.scalar_type() == at::kFloat, "Expected ",
          channels, " float32 numbers but received ", tensor.sizes());
  return tensor.contiguous();
}

const float* floats_of(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr;
}

template <typename Value>
at::Tensor room_for_sums(const NormShape& shape, const at::TensorOptions& options) {
  return at::empty({shape.samples, norm_parts<Value>(shape), 2, shape.channels}, options.dtype(at::kDouble));
}

template <typename Value>
std::pair<at::Tensor, at::Tensor> forward(const NormShape& shape, const at::Tensor& x,
                                          const at::Tensor& weight, const at::Tensor& bias,
                                          const at::Tensor& residual, AfterNorm activation) {
  at::Tensor statistics = at::empty({2, shape.samples, shape.groups}, x.options().dtype(at::kFloat));
  at::Tensor sums = room_for_sums<Value>(shape, x.options());
  norm_statistics(shape, values_of<Value>(x), sums.data_ptr<double>(), statistics.data_ptr<float>(),
                  current_stream());
  at::Tensor y = at::empty_like(x);
  normalise<Value>(
      {shape, activation, values_of<Value>(x), floats_of(statistics), floats_of(weight), floats_of(bias)},
      values_of<Value>(residual), static_cast<Value*>(y.data_ptr()), current_stream());
  return {y, statistics};
}

template <typename Value>
GroupNormGradients backward(const NormShape& shape, const at::Tensor& gradient, const at::Tensor& x,
                            const at::Tensor& y, const at::Tensor& statistics, const at::Tensor& weight,
                            const at::Tensor& bias, bool with_residual, AfterNorm activation) {
  const NormOperands<Value> norm{
      shape, activation, values_of<Value>(x), floats_of(statistics), floats_of(weight), floats_of(bias)};
  const at::TensorOptions floats = x.options().dtype(at::kFloat);
  GroupNormGradients result;
  if (with_residual) result.residual = at::empty_like(x);
  at::Tensor sums = room_for_sums<Value>(shape, x.options());
  sum_norm_gradient<Value>(norm, values_of<Value>(gradient), values_of<Value>(y),
                           with_residual ? static_cast<Value*>(result.residual.data_ptr()) : nullptr,
                           sums.data_ptr<double>(), current_stream());
  at::Tensor totals = at::empty({shape.samples, 2, shape.channels}, sums.options());
  at::Tensor shifts = at::empty({shape.samples, shape.groups, 2}, floats);
  result.weight = at::empty({shape.channels}, floats);
  result.bias = at::empty({shape.channels}, floats);
  finish_norm_gradient(shape, sums.size(1), sums.const_data_ptr<double>(), floats_of(statistics),
                       floats_of(weight), totals.data_ptr<double>(), shifts.data_ptr<float>(),
                       result.weight.data_ptr<float>(), result.bias.data_ptr<float>(), current_stream());
  result.x = at::empty_like(x);
  norm_input_gradient<Value>(norm, values_of<Value>(gradient), values_of<Value>(y), floats_of(shifts),
                             static_cast<Value*>(result.x.data_ptr()), current_stream());
  return result;
}

}  // namespace

std::pair<at::Tensor, at::Tensor> group_norm_activated(const at::Tensor& x, int64_t groups,
                                                       const at::Tensor& weight, const at::Tensor& bias,
                                                       const at::Tensor& residual, AfterNorm activation) {
  const NormShape shape = shape_of(x, groups);
  const DeviceGuard guard(x);
  const auto run = x.scalar_type() == at::kFloat ? &forward<float> : &forward<Bfloat16>;
  return run(shape, aligned(x), of_channels(weight, shape.channels), of_channels(bias, shape.channels),
             residual.defined() ? beside(x, residual) : residual, activation);
}

GroupNormGradients group_norm_backward(const at::Tensor& gradient, const at::Tensor& x, const at::Tensor& y,
                                       const at::Tensor& statistics, int64_t groups, const at::Tensor& weight,
                                       const at::Tensor& bias, bool with_residual, AfterNorm activation) {
  const NormShape shape = shape_of(x, groups);
  const DeviceGuard guard(x);
  const auto run = x.scalar_type() == at::kFloat ? &backward<float> : &backward<Bfloat16>;
  return run(shape, beside(x, gradient), aligned(x),
             activation == AfterNorm::kLeakyRelu ? beside(x, y) : at::Tensor(), statistics.contiguous(),
             of_channels(weight, shape.channels), of_channels(bias, shape.channels), with_residual,
             activation);
}

}  // namespace transfer_limits::cuda
