#include "kernels/layer_norm_cuda.h"

#include "error.h"
#include "kernels/cuda_stream.h"
#include "kernels/layer_norm.h"

namespace transfer_limits::cuda {
namespace {

static_assert(kMostNormFeatures * 2 * int64_t(sizeof(float)) <= kRoomForSums);

bool is_narrow(at::ScalarType type) {
  require(type == at::kFloat || type == at::kBFloat16,
          "Expected float32 or bfloat16 for a layer norm but received ", at::toString(type));
  return type == at::kBFloat16;
}

LayerNormRows rows_of(const at::Tensor& x, double epsilon) {
  require(x.dim() >= 1 && x.numel() > 0 && x.size(-1) <= kMostNormFeatures, "Expected rows of at most ",
          kMostNormFeatures, " features for a layer norm but received ", x.sizes());
  return {x.numel() / x.size(-1), x.size(-1), float(epsilon)};
}

const float* of_features(const at::Tensor& tensor, int64_t features) {
  require(tensor.dim() == 1 && tensor.size(0) == features && tensor.scalar_type() == at::kFloat &&
              tensor.is_contiguous(),
          "Expected ", features, " float32 numbers one after the other but received ",
          at::toString(tensor.scalar_type()), " ", tensor.sizes());
  return tensor.const_data_ptr<float>();
}

// run(values of x's type, values of the answer's type)
template <typename Run>
void for_types(at::ScalarType in, at::ScalarType out, const Run& run) {
  const bool narrow_in = is_narrow(in), narrow_out = is_narrow(out);
  if (narrow_in && narrow_out) return run(Bfloat16(), Bfloat16());
  if (narrow_in) return run(Bfloat16(), float());
  if (narrow_out) return run(float(), Bfloat16());
  return run(float(), float());
}

}  // namespace

std::pair<at::Tensor, at::Tensor> layer_norm(const at::Tensor& given, const at::Tensor& weight,
                                             const at::Tensor& bias, double epsilon, at::ScalarType type) {
  const at::Tensor x = aligned(given.contiguous());
  const LayerNormRows shape = rows_of(x, epsilon);
  const DeviceGuard guard(x);
  at::Tensor y = at::empty(x.sizes(), x.options().dtype(type));
  at::Tensor statistics = at::empty({2, shape.rows}, x.options().dtype(at::kFloat));
  const at::Tensor by = aligned(weight.contiguous()), plus = aligned(bias.contiguous());
  for_types(x.scalar_type(), type, [&](auto in, auto out) {
    using In = decltype(in);
    using Out = decltype(out);
    normalise_rows<In, Out>(shape, values_of<In>(x), of_features(by, shape.features),
                            of_features(plus, shape.features), static_cast<Out*>(y.data_ptr()),
                            statistics.data_ptr<float>(), current_stream());
  });
  return {y, statistics};
}

LayerNormGradients layer_norm_backward(const at::Tensor& given_gradient, const at::Tensor& given,
                                       const at::Tensor& statistics, const at::Tensor& weight) {
  const at::Tensor x = aligned(given.contiguous()), gradient = aligned(given_gradient.contiguous());
  const at::Tensor by = aligned(weight.contiguous());
  const LayerNormRows shape = rows_of(x, 0.0);
  require(gradient.sizes() == x.sizes(), "Expected a gradient ", x.sizes(), " but received ",
          gradient.sizes());
  const DeviceGuard guard(x);
  LayerNormGradients result;
  result.x = at::empty_like(x);
  at::Tensor sums = at::empty({layer_norm_parts(shape), 2, shape.features}, x.options().dtype(at::kDouble));
  for_types(x.scalar_type(), gradient.scalar_type(), [&](auto in, auto out) {
    using In = decltype(in);
    using Out = decltype(out);
    layer_norm_gradients<In, Out>(shape, values_of<Out>(gradient), values_of<In>(x),
                                  statistics.const_data_ptr<float>(), of_features(by, shape.features),
                                  static_cast<In*>(result.x.data_ptr()), sums.data_ptr<double>(),
                                  current_stream());
  });
  const at::Tensor totals = sums.sum(0).to(at::kFloat);  // [2, C]
  result.weight = totals[0];
  result.bias = totals[1];
  return result;
}

}  // namespace transfer_limits::cuda
