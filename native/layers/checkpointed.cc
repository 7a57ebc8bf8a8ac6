#include "layers/checkpointed.h"

#include <torch/custom_class.h>

#include <algorithm>
#include <optional>

#include "layers/batch_part.h"
#include "layers/precision.h"
#include "layers/step_draws.h"

namespace transfer_limits {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;
using Block = std::function<at::Tensor(const at::Tensor&)>;

// What computing a block once more takes, beside its input.
struct Recomputation : torch::CustomClassHolder {
  Block block;
  std::vector<at::Tensor> parameters;
  Precision precision = Precision::kFloat32;
  std::optional<BatchPart> part;
  std::optional<StepDraws> draws;  // as they were before the block
};

class CheckpointedFunction : public torch::autograd::Function<CheckpointedFunction> {
 public:
  // The parameters stand among the inputs for the graph's sake: the answer depends on them.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::TensorList& parameters,
                            const Block& block) {
    auto again = c10::make_intrusive<Recomputation>();
    again->block = block;
    again->parameters = parameters.vec();
    again->precision = precision_on(x.device());
    if (const BatchPart* part = InBatchPart::present()) again->part = *part;
    if (const StepDraws* draws = InStepDraws::present()) again->draws = *draws;
    context->save_for_backward({x});
    context->saved_data["recomputation"] = c10::IValue::make_capsule(again);
    return block(x);
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto capsule = context->saved_data["recomputation"].toCapsule();
    const auto& again = static_cast<const Recomputation&>(*capsule);
    const at::Tensor saved = context->get_saved_variables()[0];
    const torch::Device device = saved.device();
    const bool to_x = context->needs_input_grad(0);
    const at::Tensor x = saved.detach().requires_grad_(to_x);

    std::vector<at::Tensor> inputs;
    if (to_x) inputs.push_back(x);
    for (const at::Tensor& parameter : again.parameters) inputs.push_back(parameter);
    at::Tensor answer;
    {
      const Autocast autocast(again.precision, device);
      const torch::AutoGradMode grad_mode(true);
      const InBatchPart in_part(again.part ? &*again.part : nullptr);
      std::optional<StepDraws> draws = again.draws;
      const InStepDraws in_draws(draws ? &*draws : nullptr);
      answer = again.block(x);
    }
    tensor_list found = torch::autograd::grad({answer}, inputs, {gradients[0]}, /*retain_graph=*/false,
                                              /*create_graph=*/false, /*allow_unused=*/true);
    if (!to_x) found.insert(found.begin(), at::Tensor());
    found.emplace_back();  // for the block
    return found;
  }
};

}  // namespace

thread_local bool Checkpointing::enabled_ = false;

at::Tensor checkpointed(const Block& block, const std::vector<at::Tensor>& parameters, const at::Tensor& x) {
  std::vector<at::Tensor> trained;
  for (const at::Tensor& parameter : parameters) {
    if (parameter.requires_grad()) trained.push_back(parameter);
  }
  const bool differentiated = at::GradMode::is_enabled() && (x.requires_grad() || !trained.empty());
  if (!Checkpointing::enabled() || !differentiated) return block(x);
  return CheckpointedFunction::apply(x, at::TensorList(trained), block);
}

}  // namespace transfer_limits
