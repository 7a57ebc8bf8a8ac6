#include "layers/grn_perceptron.h"

#include <algorithm>
#include <optional>

#include "kernels/gelu_grn.h"
#include "kernels/linear_product.h"
#include "layers/precision.h"

namespace transfer_limits {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr double kEpsilon = 1e-6;

// What GRN multiplies each feature with: gamma * relative + 1, both [N, F].
struct Scale {
  at::Tensor mean;      // of a sample's norms, plus epsilon: [N, 1]
  at::Tensor relative;  // [N, F]
  at::Tensor scale;     // [N, F]
};

Scale scale_of(const at::Tensor& norms, const at::Tensor& gamma) {
  Scale result;
  result.mean = norms.mean(1, /*keepdim=*/true) + kEpsilon;
  result.relative = norms / result.mean;
  result.scale = at::addcmul(at::ones({1}, norms.options()), result.relative, gamma);
  return result;
}

// For each sample its rows [V, K] times the transpose of its own weight [M, K], plus `bias` [M]: [N, V, M].
template <typename WeightOf>
at::Tensor products_by_sample(const at::Tensor& rows, const WeightOf& weight_of,
                              const at::Tensor& bias = {}) {
  if (rows.size(0) == 1) return linear_product(rows, weight_of(0), bias);
  at::Tensor out;
  for (int64_t n = 0; n < rows.size(0); ++n) {
    const at::Tensor weight = weight_of(n);
    if (!out.defined()) out = at::empty({rows.size(0), rows.size(1), weight.size(0)}, rows.options());
    at::Tensor own = out[n];
    if (bias.defined()) {
      at::addmm_out(own, bias, rows[n], weight.t());
    } else {
      at::mm_out(own, rows[n], weight.t());
    }
  }
  return out;
}

class GrnPerceptronFunction : public torch::autograd::Function<GrnPerceptronFunction> {
 public:
  // x: [N, V, C]; keep: [N, V]. `x` and the weights are of one type, everything else is float32.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& expand_weight,
                            const at::Tensor& expand_bias, const at::Tensor& gamma, const at::Tensor& beta,
                            const at::Tensor& project_weight, const at::Tensor& project_bias,
                            const std::optional<at::Tensor>& maybe_keep, bool differentiated) {
    const WithoutAutocast no_autocast(x.device());  // everything is of the type that it should be
    const at::Tensor keep = maybe_keep.value_or(at::Tensor());
    const at::ScalarType type = x.scalar_type();
    const int64_t voxels = x.size(1);
    const at::Tensor hidden = linear_product(x, expand_weight);  // [N, V, F]
    const auto [activated, norms] = gelu_with_norms(hidden, expand_bias, keep, /*in_place=*/!differentiated);
    const at::Tensor scale = scale_of(norms, gamma).scale;  // [N, F]
    const at::Tensor offset = at::addmv(project_bias, project_weight.to(at::kFloat), beta).to(type);  // [C]
    // The scale goes to whichever is smaller.
    const at::Tensor out =
        voxels < project_weight.size(0)
            ? linear_product((activated * scale.unsqueeze(1)).to(type), project_weight, offset)
            : products_by_sample(
                  activated, [&](int64_t n) { return (project_weight * scale[n]).to(type); },
                  offset);  // [N, V, C]
    if (differentiated) {
      context->save_for_backward(
          {x, expand_weight, expand_bias, gamma, beta, project_weight, keep, hidden, activated, norms});
    }
    return out;
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const WithoutAutocast no_autocast(gradients[0].device());
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &expand_weight = saved[1], &expand_bias = saved[2], &gamma = saved[3],
                     &beta = saved[4], &project_weight = saved[5], &keep = saved[6], &hidden = saved[7],
                     &activated = saved[8], &norms = saved[9];
    const int64_t samples = x.size(0), voxels = x.size(1), channels = x.size(2), features = gamma.size(0);
    const at::Tensor gradient = gradients[0].contiguous();  // [N, V, C]
    const Scale grn = scale_of(norms, gamma);
    const at::ScalarType type = x.scalar_type();
    const at::Tensor exact_weight = project_weight.to(at::kFloat);  // [C, F]

    const at::Tensor to_project_bias =
        gradient.sum(at::IntArrayRef({0, 1}), /*keepdim=*/false, at::kFloat);  // [C]
    at::Tensor to_project_weight;                                              // [C, F]
    at::Tensor to_scale = at::empty_like(norms);                               // [N, F]
    for (int64_t n = 0; n < samples; ++n) {
      at::Tensor to_weight = at::mm(gradient[n].t(), activated[n]).to(at::kFloat);  // [C, F]
      const at::Tensor own_bias =
          samples == 1 ? to_project_bias : gradient[n].sum(0, /*keepdim=*/false, at::kFloat);
      to_scale[n] = weight_gradient_on_grn(to_weight, exact_weight, grn.scale[n], own_bias, beta);
      to_project_weight = n == 0 ? to_weight : to_project_weight.add_(to_weight);
    }
    // Without the norms at first.
    at::Tensor to_hidden =
        voxels < channels
            ? linear_product(gradient, project_weight.t()).mul_(grn.scale.unsqueeze(1))
            : products_by_sample(
                  gradient,
                  [&](int64_t n) { return (project_weight * grn.scale[n]).to(type).t(); });  // [N, V, F]
    const at::Tensor to_gamma = (grn.relative * to_scale).sum(0);                            // [F]
    const at::Tensor to_beta = at::mv(exact_weight.t(), to_project_bias);                    // [F]
    const at::Tensor to_relative = to_scale * gamma;                                         // [N, F]
    // relative = norm / mean, and the mean is over all features' norms
    const at::Tensor shared =
        (to_relative * norms).sum(1, /*keepdim=*/true) / (grn.mean * grn.mean * double(features));  // [N, 1]
    const at::Tensor to_norms = to_relative / grn.mean - shared;                                    // [N, F]
    const at::Tensor slope = at::where(norms > 0, to_norms / norms, 0.0);
    const at::Tensor to_expand_bias =
        gelu_grn_backward(to_hidden, activated, hidden, expand_bias, keep, slope);  // [F]

    const at::Tensor rows = to_hidden.view({samples * voxels, features});
    at::Tensor to_x, to_expand_weight;
    if (context->needs_input_grad(0)) to_x = linear_product(rows, expand_weight.t()).view(x.sizes());
    if (context->needs_input_grad(1)) {
      to_expand_weight = at::mm(rows.t(), x.view({samples * voxels, channels}));
    }
    return {to_x,        to_expand_weight,  to_expand_bias,  to_gamma,
            to_beta,     to_project_weight, to_project_bias, at::Tensor(),
            at::Tensor()};
  }
};

}  // namespace

bool takes_grn_perceptron(const at::Tensor& x) {
  const bool single = x.scalar_type() == at::kFloat;
  return x.is_cuda() ? single || x.scalar_type() == at::kBFloat16
                     : x.device().is_cpu() && single && !autocast_on(x.device());
}

at::Tensor grn_perceptron(const at::Tensor& x, const GrnPerceptronParameters& parameters,
                          const at::Tensor& keep) {
  const int64_t samples = x.size(0), channels = x.size(-1);
  const int64_t voxels = x.size(1) * x.size(2) * x.size(3);
  const auto& p = parameters;
  const at::Tensor* inputs[] = {&x,      &p.expand_weight,  &p.expand_bias, &p.gamma,
                                &p.beta, &p.project_weight, &p.project_bias};
  const bool differentiated = at::GradMode::is_enabled() &&
                              std::any_of(std::begin(inputs), std::end(inputs),
                                          [](const at::Tensor* input) { return input->requires_grad(); });
  std::optional<at::Tensor> kept;
  if (keep.defined()) kept = keep.reshape({samples, voxels}).to(at::kFloat).contiguous();
  const auto exact = [](const at::Tensor& tensor) { return tensor.flatten().to(at::kFloat); };
  return GrnPerceptronFunction::apply(autocast_operand(x.reshape({samples, voxels, channels}).contiguous()),
                                      autocast_operand(p.expand_weight), exact(p.expand_bias), exact(p.gamma),
                                      exact(p.beta), autocast_operand(p.project_weight),
                                      exact(p.project_bias), kept, differentiated)
      .view(x.sizes());
}

}  // namespace transfer_limits
