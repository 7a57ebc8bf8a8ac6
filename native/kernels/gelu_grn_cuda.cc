#include "kernels/gelu_grn_cuda.h"

#include "error.h"
#include "kernels/cuda_stream.h"
#include "kernels/gelu_grn.h"

namespace transfer_limits::cuda {
namespace {

FeatureRows rows_of(const at::Tensor& x) {
  require(x.dim() == 3 && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) &&
              x.is_contiguous(),
          "Expected dense float32 or bfloat16 rows [N, V, F] but received ", at::toString(x.scalar_type()),
          x.sizes());
  return {x.size(0), x.size(1), x.size(2)};
}

const float* floats(const at::Tensor& x, at::IntArrayRef sizes) {
  require(x.sizes() == sizes && x.scalar_type() == at::kFloat && x.is_contiguous(),
          "Expected a dense float32 tensor ", sizes, " but received ", x.sizes());
  return x.const_data_ptr<float>();
}

const float* kept(const at::Tensor& keep, const FeatureRows& rows) {
  return keep.defined() ? floats(keep, {rows.samples, rows.voxels}) : nullptr;
}

// Room for [samples, parts, features] sums.
template <typename Value>
at::Tensor room_for_sums(const FeatureRows& rows, const at::Tensor& like) {
  return at::empty({rows.samples, gelu_parts<Value>(rows), rows.features}, like.options().dtype(at::kDouble));
}

template <typename Value>
at::Tensor squares_of(const at::Tensor& hidden, const at::Tensor& bias, const at::Tensor& keep,
                      const at::Tensor& out) {
  const FeatureRows rows = rows_of(hidden);
  at::Tensor squares = room_for_sums<Value>(rows, hidden);
  if (hidden.numel() == 0) return squares.zero_();
  gelu_with_squares(rows, values_of<Value>(hidden), floats(bias, {rows.features}), kept(keep, rows),
                    static_cast<Value*>(out.data_ptr()), squares.data_ptr<double>(), current_stream());
  return squares;
}

template <typename Value>
at::Tensor sums_of_gradient(const at::Tensor& gradient, const at::Tensor& hidden, const at::Tensor& bias,
                            const at::Tensor& keep, const at::Tensor& slope) {
  const FeatureRows rows = rows_of(hidden);
  at::Tensor sums = room_for_sums<Value>(rows, hidden);
  if (hidden.numel() == 0) return sums.zero_();
  gelu_backward(rows, static_cast<Value*>(gradient.data_ptr()), values_of<Value>(hidden),
                floats(bias, {rows.features}), kept(keep, rows), floats(slope, {rows.samples, rows.features}),
                sums.data_ptr<double>(), current_stream());
  return sums;
}

}  // namespace

std::pair<at::Tensor, at::Tensor> gelu_with_norms(const at::Tensor& hidden, const at::Tensor& bias,
                                                  const at::Tensor& keep, bool in_place) {
  rows_of(hidden);
  const DeviceGuard guard(hidden);
  const at::Tensor activated = in_place ? hidden : at::empty_like(hidden);
  const auto squares = hidden.scalar_type() == at::kFloat ? &squares_of<float> : &squares_of<Bfloat16>;
  return {activated, squares(hidden, bias, keep, activated).sum(1).sqrt_().to(at::kFloat)};
}

// What was activated is computed anew: that is cheaper than reading it.
at::Tensor gelu_grn_backward(at::Tensor& gradient, const at::Tensor&, const at::Tensor& hidden,
                             const at::Tensor& bias, const at::Tensor& keep, const at::Tensor& slope) {
  rows_of(gradient);
  require(gradient.sizes() == hidden.sizes() && gradient.scalar_type() == hidden.scalar_type(),
          "Expected a gradient ", hidden.sizes(), " of the rows' type but received ",
          at::toString(gradient.scalar_type()), gradient.sizes());
  const DeviceGuard guard(hidden);
  const auto sums =
      hidden.scalar_type() == at::kFloat ? &sums_of_gradient<float> : &sums_of_gradient<Bfloat16>;
  return sums(gradient, hidden, bias, keep, slope).sum(at::IntArrayRef({0, 1})).to(at::kFloat);
}

at::Tensor weight_gradient_on_grn(at::Tensor& plain, const at::Tensor& weight, const at::Tensor& scale,
                                  const at::Tensor& to_bias, const at::Tensor& beta) {
  const int64_t outputs = weight.size(0), features = weight.size(1);
  floats(plain, weight.sizes());
  const DeviceGuard guard(weight);
  at::Tensor to_scale = at::empty({features}, weight.options());
  scale_weight_gradient(outputs, features, plain.data_ptr<float>(), floats(weight, {outputs, features}),
                        floats(scale, {features}), floats(to_bias, {outputs}), floats(beta, {features}),
                        to_scale.data_ptr<float>(), current_stream());
  return to_scale;
}

}  // namespace transfer_limits::cuda
