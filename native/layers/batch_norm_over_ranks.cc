// Batch norm over the batches of several ranks. Networks of this project and modules of LibTorch's interpreter reach it
// the same way: LibTorch's dispatcher asks for it, before all else, on a thread where a `BatchNormOverRanks` lives.
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/custom_class.h>
#include <torch/library.h>

#include "error.h"
#include "layers/batch_part.h"

namespace transfer_limits {
namespace {

// LibTorch's key for modes that a thread switches on, which no operator of its own uses.
constexpr c10::DispatchKey kMode = c10::DispatchKey::TESTING_ONLY_GenericMode;

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

struct RanksOfNorm : torch::CustomClassHolder {
  std::shared_ptr<const std::function<void(at::Tensor&)>> sum;
  bool counts = true;
};

// [channels] for an input [N, channels, ..].
std::vector<int64_t> shape_of_channels(const at::Tensor& x) {
  std::vector<int64_t> shape(size_t(x.dim()), 1);
  shape[1] = x.size(1);
  return shape;
}

at::Tensor over_channels(const at::Tensor& x) {
  std::vector<int64_t> axes{0};
  for (int64_t axis = 2; axis < x.dim(); ++axis) axes.push_back(axis);
  return x.sum(axes, /*keepdim=*/false, at::kDouble);
}

// float32, but for networks that compute in float64.
at::ScalarType type_for(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

class SharedBatchNorm : public torch::autograd::Function<SharedBatchNorm> {
 public:
  // Answers the normalised input, and the mean, the biased variance and the count that it was normalised by.
  static tensor_list forward(AutogradContext* context, const at::Tensor& input, const at::Tensor& weight,
                             const at::Tensor& bias, double eps, bool counts,
                             const std::shared_ptr<const std::function<void(at::Tensor&)>>& sum) {
    const at::ScalarType type = type_for(input);
    const at::Tensor x = input.to(type);
    const std::vector<int64_t> shape = shape_of_channels(x);
    const int64_t channels = x.size(1);
    const int64_t each = x.numel() / channels;
    const double own = counts ? double(each) : 0.0;
    at::Tensor first = at::cat(
        {over_channels(x) * (counts ? 1.0 : 0.0), at::full({1}, own, x.options().dtype(at::kDouble))});
    (*sum)(first);
    const at::Tensor count = first.select(0, channels);
    const at::Tensor mean = first.slice(0, 0, channels) / count;
    const at::Tensor centred = x - mean.to(type).view(shape);
    // Around the mean as it was taken away, rounded.
    at::Tensor squares = over_channels(centred.square()) * (counts ? 1.0 : 0.0);
    (*sum)(squares);
    const at::Tensor variance = squares / count;
    const at::Tensor scale = (variance + eps).rsqrt().to(type);
    const at::Tensor normalised = centred * scale.view(shape);

    at::Tensor answer = normalised;
    if (weight.defined()) answer = answer * weight.view(shape);
    if (bias.defined()) answer = answer + bias.view(shape);
    context->save_for_backward({normalised, weight, scale, count});
    auto ranks = c10::make_intrusive<RanksOfNorm>();
    ranks->sum = sum;
    ranks->counts = counts;
    context->saved_data["ranks"] = c10::IValue::make_capsule(ranks);
    context->saved_data["type"] = int64_t(input.scalar_type());
    const tensor_list statistics{mean, variance, count};
    context->mark_non_differentiable(statistics);
    return {answer.to(input.scalar_type()), mean, variance, count};
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto capsule = context->saved_data["ranks"].toCapsule();
    const auto& ranks = static_cast<const RanksOfNorm&>(*capsule);
    const tensor_list saved = context->get_saved_variables();
    const at::Tensor &normalised = saved[0], &weight = saved[1], &scale = saved[2], &count = saved[3];
    const at::ScalarType type = type_for(normalised);
    const at::Tensor gradient = gradients[0].to(type);
    const std::vector<int64_t> shape = shape_of_channels(normalised);
    const int64_t channels = normalised.size(1);
    const at::Tensor to_bias = over_channels(gradient), to_weight = over_channels(gradient * normalised);
    at::Tensor sums = at::cat({to_bias, to_weight});
    (*ranks.sum)(sums);
    at::Tensor to_input = gradient;
    if (ranks.counts) {
      const at::Tensor means = (sums / count).to(type);
      to_input = gradient - means.slice(0, 0, channels).view(shape) -
                 normalised * means.slice(0, channels).view(shape);
    }
    to_input = to_input * (weight.defined() ? weight * scale : scale).view(shape);
    return {to_input.to(at::ScalarType(context->saved_data["type"].toInt())),
            weight.defined() ? to_weight.to(type) : at::Tensor(),
            weight.defined() ? to_bias.to(type) : at::Tensor(),
            {},
            {},
            {}};
  }
};

at::Tensor batch_norm_over_ranks(const at::Tensor& input, const std::optional<at::Tensor>& weight,
                                 const std::optional<at::Tensor>& bias,
                                 const std::optional<at::Tensor>& running_mean,
                                 const std::optional<at::Tensor>& running_variance, bool training,
                                 double momentum, double eps, bool cudnn_enabled) {
  const c10::impl::ExcludeDispatchKeyGuard as_before(kMode);
  const BatchPart* part = InBatchPart::present();
  if (!training || part == nullptr || part->sum_over_ranks == nullptr)
    return at::batch_norm(input, weight, bias, running_mean, running_variance, training, momentum, eps,
                          cudnn_enabled);
  const tensor_list answers =
      SharedBatchNorm::apply(input, weight.value_or(at::Tensor()), bias.value_or(at::Tensor()), eps,
                             part->counts, part->sum_over_ranks);
  const torch::NoGradGuard no_grad;
  const at::Tensor &mean = answers[1], &variance = answers[2], &count = answers[3];
  if (running_mean && running_mean->defined())
    running_mean->lerp_(mean.to(running_mean->scalar_type()), momentum);
  if (running_variance && running_variance->defined()) {
    // Unbiased there, as LibTorch keeps it.
    const at::Tensor unbiased = variance * (count / (count - 1).clamp_min(1));
    running_variance->lerp_(unbiased.to(running_variance->scalar_type()), momentum);
  }
  return answers[0];
}

// Each sample's own statistics, which LibTorch takes by a batch norm of one sample with as many times the channels: that one
// is not for all ranks.
at::Tensor instance_norm_of_own(const at::Tensor& input, const std::optional<at::Tensor>& weight,
                                const std::optional<at::Tensor>& bias,
                                const std::optional<at::Tensor>& running_mean,
                                const std::optional<at::Tensor>& running_variance, bool use_input_stats,
                                double momentum, double eps, bool cudnn_enabled) {
  const c10::impl::ExcludeDispatchKeyGuard as_before(kMode);
  return at::instance_norm(input, weight, bias, running_mean, running_variance, use_input_stats, momentum,
                           eps, cudnn_enabled);
}

// Held for the rest of the process, from the first training over several ranks on: whoever trains alone finds LibTorch's
// dispatcher as it was.
struct Registration {
  Registration() {
    // LibTorch lets a process have one, and `batch_norm_over_ranks` knows of its own copy's parts of batches alone.
    if (c10::Dispatcher::singleton().hasBackendFallbackForDispatchKey(kMode))
      throw Error(
          "BAD_INPUT",
          "Expected one copy of transfer-limits to train over several ranks in a process, but another "
          "copy does so already: use that one, or a process for each.");
    fallback.fallback(torch::CppFunction::makeFallthrough());
    operators.impl("batch_norm", batch_norm_over_ranks);
    operators.impl("instance_norm", instance_norm_of_own);
  }

  torch::Library fallback{torch::Library::IMPL, "_", kMode, __FILE__, __LINE__};
  torch::Library operators{torch::Library::IMPL, "aten", kMode, __FILE__, __LINE__};
};

}  // namespace

BatchNormOverRanks::BatchNormOverRanks() : before_(c10::impl::tls_is_dispatch_key_included(kMode)) {
  static const Registration registration;
  c10::impl::tls_set_dispatch_key_included(kMode, true);
}

BatchNormOverRanks::~BatchNormOverRanks() { c10::impl::tls_set_dispatch_key_included(kMode, before_); }

}  // namespace transfer_limits
