#include "training/trainer.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "layers/checkpointed.h"
#include "layers/numerics.h"
#include "layers/step_draws.h"
#include "models/torchscript.h"
#include "training/counted_embedding.h"
#include "training/network_loss.h"

namespace transfer_limits {
namespace {

// Matrices and kernels: a norm's weight has one axis, and GRN's vectors and tokens have names of their own.
bool has_weight_decay(const std::string& name, const at::Tensor& parameter) {
  const size_t dot = name.rfind('.');
  return name.substr(dot == std::string::npos ? 0 : dot + 1) == "weight" && parameter.dim() > 1;
}

bool starts_with_any(const std::string& name, const std::vector<std::string>& prefixes) {
  return prefixes.empty() ||
         std::any_of(prefixes.begin(), prefixes.end(),
                     [&name](const std::string& prefix) { return name.rfind(prefix, 0) == 0; });
}

bool is_batch_norm(const torch::nn::Module& module) {
  if (const auto* script = dynamic_cast<const ScriptSlots*>(&module)) return script->is_batch_norm();
  return module.as<torch::nn::BatchNorm1dImpl>() != nullptr ||
         module.as<torch::nn::BatchNorm2dImpl>() != nullptr ||
         module.as<torch::nn::BatchNorm3dImpl>() != nullptr;
}

// The features of the samples from `start` to `end`.
std::optional<Features> part_of(const std::optional<Features>& features, int64_t start, int64_t end) {
  if (!features) return std::nullopt;
  Features part;
  part.pooled = features->pooled.slice(0, start, end);
  for (const at::Tensor& stage : features->stages) part.stages.push_back(stage.slice(0, start, end));
  return part;
}

}  // namespace

Trainer::Trainer(std::shared_ptr<Network> network, TrainerOptions options)
    : network_(std::move(network)), options_(std::move(options)) {
  for (const auto& [name, rate] : options_.rates) {
    require(std::isfinite(rate) && rate >= 0.0, "Expected a number >= 0 as rate of ", name, " but received ",
            rate);
  }
  for (const auto& item : network_->named_parameters()) {
    at::Tensor parameter = item.value();
    const bool trained = starts_with_any(item.key(), options_.trainable);
    parameter.set_requires_grad(trained);
    if (!trained) continue;
    const auto rate = options_.rates.find(item.key());
    Group& group = group_of(has_weight_decay(item.key(), parameter) ? options_.weight_decay : 0.0,
                            rate == options_.rates.end() ? 1.0 : rate->second);
    group.names.push_back(item.key());
    group.parameters.push_back(parameter);
    group.first.push_back(at::zeros_like(parameter, at::MemoryFormat::Preserve));
    group.second.push_back(at::zeros_like(parameter, at::MemoryFormat::Preserve));
    group.steps.push_back(at::zeros({}, parameter.options().dtype(at::kFloat)));
  }
  require(
      !groups_.empty(),
      "Expected trainable to name at least one parameter, but no parameter's name starts with any of its ",
      options_.trainable.size(), " prefixes");
  seed_ = at::zeros({1}, at::TensorOptions(groups_[0].parameters[0].device()).dtype(at::kLong));
  for (const auto& module : network_->modules(/*include_self=*/false)) {
    const std::vector<at::Tensor> parameters = module->parameters();
    if (!parameters.empty() &&
        std::none_of(parameters.begin(), parameters.end(),
                     [](const at::Tensor& parameter) { return parameter.requires_grad(); })) {
      frozen_.push_back(module);
    }
  }
  if (options_.micro_batch) check_micro_batches();
  if (options_.teacher) distillation_.emplace(network_, options_.teacher);
  if (options_.ranks) join_ranks();
  if (options_.cuda_graphs) prepare_recording();
}

void Trainer::join_ranks() {
  std::vector<at::Tensor> trained;
  for (const auto& parameter : network_->parameters()) {
    if (parameter.requires_grad()) trained.push_back(parameter);
  }
  buckets_ = std::make_unique<GradientBuckets>(options_.ranks, trained);
  sum_over_ranks_ = std::make_shared<const std::function<void(at::Tensor&)>>(
      [ranks = options_.ranks](at::Tensor& tensor) { ranks->sum(tensor); });
  take_from_first();
}

void Trainer::take_from_first() {
  std::vector<at::Tensor> all = network_->parameters();
  const std::vector<at::Tensor> buffers = network_->buffers();
  all.insert(all.end(), buffers.begin(), buffers.end());
  for (const Group& group : groups_) {
    for (const auto* list : {&group.first, &group.second, &group.steps})
      all.insert(all.end(), list->begin(), list->end());
  }
  if (distillation_) {
    for (const auto& [name, tensor] : distillation_->state()) all.push_back(tensor);
  }
  const at::Tensor steps = at::full({1}, steps_, at::kLong);
  all.push_back(steps);
  options_.ranks->take_from_first(all);
  steps_ = steps.item<int64_t>();
}

void Trainer::prepare_recording() {
  require(!options_.checkpointing, "Expected either checkpointing or CUDA graphs but received both");
  const at::Device device = groups_[0].parameters[0].device();
  if (!device.is_cuda() || distillation_ || options_.ranks) return;  // these take plain steps
  recorder_ = cuda::step_recorder(device);
  for (Group& group : groups_) {
    group.learning_rate = at::zeros({}, at::TensorOptions(device).dtype(at::kFloat));
  }
}

void Trainer::check_micro_batches() const {
  require(*options_.micro_batch >= 1, "Expected at least 1 sample for microBatch but received ",
          *options_.micro_batch);
  loss_weight(options_.loss, at::ones({1}, at::kLong), at::kFloat);  // throws for a loss that has no parts
  for (const auto& item : network_->named_modules()) {
    if (!is_batch_norm(*item.value())) continue;
    require(
        std::find(frozen_.begin(), frozen_.end(), item.value()) != frozen_.end(),
        "Expected no microBatch for a network that trains batch norm (", item.key(),
        "), which takes its statistics from all samples of a batch at once: choose a smaller batch instead");
  }
}

Trainer::Group& Trainer::group_of(double weight_decay, double rate) {
  for (Group& group : groups_) {
    if (group.weight_decay == weight_decay && group.rate == rate) return group;
  }
  Group& group = groups_.emplace_back();
  group.weight_decay = weight_decay;
  group.rate = rate;
  return group;
}

void Trainer::begin(uint64_t seed) {
  seed_.fill_(int64_t(seed));
  torch::manual_seed(seed);  // what a TorchScript module draws, such as dropout
  network_->train();
  for (const auto& module : frozen_) module->eval();
  for (const Group& group : groups_) {
    for (const at::Tensor& parameter : group.parameters) parameter.mutable_grad().reset();
  }
}

at::Tensor Trainer::loss_of(const at::Tensor& input, const at::Tensor& target,
                            const std::optional<Features>& features, const BatchPart* part) {
  const Autocast autocast(options_.precision, input.device());
  const Checkpointing checkpointing(options_.checkpointing);
  const InBatchPart in_part(part);
  StepDraws draws{seed_};
  const InStepDraws in_draws(&draws);
  std::optional<BatchNormOverRanks> over_ranks;
  if (part != nullptr && part->sum_over_ranks) over_ranks.emplace();
  return network_loss(*network_, input, target, features, options_.loss, options_.auxiliary_weight);
}

at::Tensor Trainer::accumulate(const at::Tensor& input, const at::Tensor& target,
                               const std::optional<Features>& features, const std::optional<OwnPart>& own) {
  const int64_t samples = input.size(0);
  const int64_t size = options_.micro_batch.value_or(samples);
  if (size >= samples && !own) {
    const at::Tensor loss = loss_of(input, target, features);
    loss.backward();
    return loss.detach();
  }
  require(target.dim() > 0 && target.size(0) == samples, "Expected a target of the input's ", samples,
          " samples but received ", target.sizes());
  const double counts = own && !own->counts ? 0.0 : 1.0;
  BatchPart part{own ? own->start : 0, own ? own->total : samples, counts == 1.0, sum_over_ranks_};
  if (own && compares_samples(options_.loss)) {
    // Each rank has the loss of the whole batch, and of its gradient what goes through its own samples.
    const at::Tensor loss = loss_of(input, target, features, &part);
    backward_over_ranks(loss);
    return loss.detach();
  }
  const at::ScalarType type = input.scalar_type();
  at::Tensor whole = loss_weight(options_.loss, target, type) * counts;
  if (own) options_.ranks->sum(whole);
  at::Tensor total = at::zeros({}, whole.options());
  for (int64_t start = 0; start < samples; start += size) {
    const int64_t end = std::min(samples, start + size);
    const at::Tensor own_target = target.slice(0, start, end);
    const at::Tensor loss =
        loss_of(input.slice(0, start, end), own_target, part_of(features, start, end), &part) *
        (loss_weight(options_.loss, own_target, type) * counts / whole);
    if (own && end == samples) buckets_->begin();
    loss.backward();
    total = total + loss.detach();
    part.start += end - start;
  }
  if (!own) return total;
  buckets_->finish();
  options_.ranks->sum(total);
  return total;
}

void Trainer::backward_over_ranks(const at::Tensor& loss) {
  buckets_->begin();
  loss.backward();
  buckets_->finish();
}

void Trainer::check_part(const std::optional<OwnPart>& own, int64_t samples) const {
  require(own.has_value() == (options_.ranks != nullptr),
          "Expected the part of a batch that a rank is given with ranks, and none without, but received ",
          own ? "one" : "none");
  require(
      !own || (own->start >= 0 && own->total >= 1 && (!own->counts || own->start + samples <= own->total)),
      "Expected a part that lies in the batch of all ranks, or one that does not count, but received ",
      samples, " samples");
}

at::Tensor Trainer::step(const at::Tensor& input, const at::Tensor& target,
                         const std::optional<Features>& features, double learning_rate, uint64_t seed,
                         const std::optional<OwnPart>& own) {
  check_part(own, input.size(0));
  const Tf32 tf32(options_.precision);
  begin(seed);
  const at::Tensor result = recorder_ ? recorded_step(input, target, features, learning_rate)
                                      : whole_step(input, target, features, learning_rate, own);
  ++steps_;
  return result;
}

void Trainer::settle(const at::Tensor& input, const at::Tensor& target, uint64_t seed) {
  const Tf32 tf32(options_.precision);
  begin(seed);
  const torch::NoGradGuard no_grad;
  loss_of(input, target, std::nullopt);
}

at::Tensor Trainer::whole_step(const at::Tensor& input, const at::Tensor& target,
                               const std::optional<Features>& features, double learning_rate,
                               const std::optional<OwnPart>& own) {
  return descend(accumulate(input, target, features, own), learning_rate, {});
}

at::Tensor Trainer::recorded_step(const at::Tensor& input, const at::Tensor& target,
                                  const std::optional<Features>& features, double learning_rate) {
  std::vector<at::Tensor> inputs{input, target};
  if (features) {
    inputs.push_back(features->pooled);
    inputs.insert(inputs.end(), features->stages.begin(), features->stages.end());
  }
  for (Group& group : groups_) group.learning_rate.fill_(learning_rate * group.rate);
  // With features the encoder is not run.
  return count_embedded_in(*network_, features ? 0 : input.size(0), embeds_, [&] {
    return recorder_->run(inputs, [this, learning_rate](const std::vector<at::Tensor>& given) {
      std::optional<Features> known;
      if (given.size() > 2) known = Features{given[2], {given.begin() + 3, given.end()}, std::nullopt};
      return whole_step(given[0], given[1], known, learning_rate);
    });
  });
}

at::Tensor Trainer::distil(const SliceViews& views, const DistillationStep& distillation,
                           double learning_rate, uint64_t seed, const std::optional<OwnPart>& own) {
  require(distillation_.has_value(), "Expected a trainer with a teacher for distil but received one without");
  require(distillation.momentum >= 0 && distillation.momentum <= 1,
          "Expected a momentum of the teacher in [0, 1] but received ", distillation.momentum);
  check_part(own, views.slices);
  const Tf32 tf32(options_.precision);
  begin(seed);
  std::optional<BatchPart> part;
  if (own) part = BatchPart{own->start, own->total, own->counts, sum_over_ranks_};
  at::Tensor loss;
  {
    const InBatchPart in_part(part ? &*part : nullptr);
    StepDraws draws{seed_};
    const InStepDraws in_draws(&draws);
    const Autocast autocast(options_.precision, views.global.device());
    const Checkpointing checkpointing(options_.checkpointing);
    loss = distillation_->loss(views, options_.loss, distillation);
  }
  if (own) {
    backward_over_ranks(loss);
  } else {
    loss.backward();
  }
  const at::Tensor result =
      descend(loss.detach(), learning_rate,
              distillation.prototypes_frozen ? std::vector<std::string>{SelfDistillation::kPrototypes}
                                             : std::vector<std::string>{});
  distillation_->follow(distillation.momentum);
  ++steps_;
  return result;
}

at::Tensor Trainer::descend(const at::Tensor& loss, double learning_rate,
                            const std::vector<std::string>& frozen) {
  const torch::NoGradGuard no_grad;
  // Parameters that this step did not use (an auxiliary head with weight 0) have no gradient and are left alone.
  std::vector<Group> used(groups_.size());
  std::vector<std::vector<at::Tensor>> gradients(groups_.size());
  std::vector<at::Tensor> norms;
  for (size_t index = 0; index < groups_.size(); ++index) {
    const Group& group = groups_[index];
    used[index].weight_decay = group.weight_decay;
    used[index].rate = group.rate;
    used[index].learning_rate = group.learning_rate;
    for (size_t item = 0; item < group.parameters.size(); ++item) {
      const at::Tensor gradient = group.parameters[item].grad();
      if (!gradient.defined() || std::find(frozen.begin(), frozen.end(), group.names[item]) != frozen.end())
        continue;
      used[index].parameters.push_back(group.parameters[item]);
      used[index].first.push_back(group.first[item]);
      used[index].second.push_back(group.second[item]);
      used[index].steps.push_back(group.steps[item]);
      gradients[index].push_back(gradient);
    }
    if (!gradients[index].empty()) {
      for (const at::Tensor& norm : at::_foreach_norm(gradients[index])) norms.push_back(norm);
    }
  }
  const at::Tensor norm = at::linalg_vector_norm(at::stack(norms), 2);

  // The update itself divides the gradient, and leaves out a step that has no finite loss: both without a look at the
  // numbers.
  const at::Tensor finite = loss.isfinite().to(at::kFloat);
  std::optional<at::Tensor> divisor;
  if (options_.gradient_clip) {
    const double most = *options_.gradient_clip;
    divisor = at::where(norm.gt(most), (norm + 1e-6) / most, at::ones_like(norm));
  }
  if (divisor && divisor->scalar_type() != at::kFloat) {
    // The update reads it as float32.
    for (const std::vector<at::Tensor>& group : gradients)
      if (!group.empty()) at::_foreach_div_(group, *divisor);
    divisor.reset();
  }
  for (size_t index = 0; index < used.size(); ++index) {
    Group& group = used[index];
    if (group.parameters.empty()) continue;
    at::_foreach_add_(group.steps, finite);
    const auto update = [&](const auto& rate) {
      at::_fused_adamw_(group.parameters, gradients[index], group.first, group.second, /*max_exp_avg_sqs=*/{},
                        group.steps, rate, options_.beta1, options_.beta2, group.weight_decay, /*eps=*/1e-8,
                        /*amsgrad=*/false, /*maximize=*/false, divisor, /*found_inf=*/1 - finite);
    };
    if (group.learning_rate.defined()) {
      update(group.learning_rate);
    } else {
      update(learning_rate * group.rate);
    }
  }
  return at::stack({loss.to(norm.scalar_type()), norm});
}

std::vector<std::pair<std::string, at::Tensor>> Trainer::state() const {
  std::vector<std::pair<std::string, at::Tensor>> result;
  for (const Group& group : groups_) {
    for (size_t item = 0; item < group.names.size(); ++item) {
      result.emplace_back("first." + group.names[item], group.first[item].clone());
      result.emplace_back("second." + group.names[item], group.second[item].clone());
      result.emplace_back("steps." + group.names[item], group.steps[item].clone());
    }
  }
  if (distillation_) {
    for (const auto& [name, tensor] : distillation_->state()) result.emplace_back(name, tensor.clone());
  }
  return result;
}

void Trainer::assign(int64_t steps, const std::vector<std::string>& names,
                     const std::vector<at::Tensor>& tensors) {
  std::unordered_map<std::string, at::Tensor> given;
  for (size_t index = 0; index < names.size(); ++index) given.emplace(names[index], tensors[index]);
  const torch::NoGradGuard no_grad;
  const auto restore = [&given](const std::string& name, const at::Tensor& own) {
    const auto found = given.find(name);
    if (found == given.end()) throw Error("BAD_CHECKPOINT", "The optimiser's state has no tensor " + name);
    if (found->second.sizes() != own.sizes()) {
      std::ostringstream message;
      message << "Expected shape " << own.sizes() << " for " << name
              << " in the optimiser's state but received " << found->second.sizes();
      throw Error("BAD_CHECKPOINT", message.str());
    }
    own.copy_(found->second);
  };
  for (Group& group : groups_) {
    for (size_t item = 0; item < group.names.size(); ++item) {
      restore("first." + group.names[item], group.first[item]);
      restore("second." + group.names[item], group.second[item]);
      restore("steps." + group.names[item], group.steps[item]);
    }
  }
  if (distillation_) {
    for (const auto& [name, tensor] : distillation_->state()) restore(name, tensor);
  }
  steps_ = steps;
  if (options_.ranks) take_from_first();
}

}  // namespace transfer_limits
