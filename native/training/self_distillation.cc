#include "training/self_distillation.h"

#include <cmath>

#include "layers/precision.h"
#include "training/batch_over_ranks.h"
#include "training/patch_contrast.h"

namespace transfer_limits {
namespace {

void require_temperature(double temperature, const char* name) {
  require(std::isfinite(temperature) && temperature > 0, "Expected a temperature above 0 for ", name,
          " of self-distillation but received ", temperature);
}

void require_weight(double weight, const char* name) {
  require(std::isfinite(weight) && weight >= 0, "Expected a number >= 0 for ", name, " but received ",
          weight);
}

void check(const SliceViews& views) {
  require(views.slices >= 1 && views.global.dim() == 4 && views.global.size(0) > 0 &&
              views.global.size(0) % views.slices == 0,
          "Expected global views [views x slices, C, H, W] of ", views.slices, " slices but received ",
          views.global.sizes());
  const int64_t local = views.local.defined() ? views.local.size(0) : 0;
  require(local % views.slices == 0, "Expected local views [views x slices, C, h, w] of ", views.slices,
          " slices but received ", local, " in all");
  require(views.global.size(0) + local > views.slices,
          "Expected at least two views of each slice, of which one is global, but received one");
  require(views.lesion.dim() == 4 && views.lesion.size(0) == views.global.size(0) &&
              views.lesion.size(1) == 1 && views.lesion.sizes().slice(2) == views.global.sizes().slice(2),
          "Expected a lesion mask [views x slices, 1, H, W] of the global views' ", views.global.sizes(),
          " but received ", views.lesion.sizes());
}

}  // namespace

at::Tensor self_distillation(const at::Tensor& student, const at::Tensor& teacher, const at::Tensor& centre,
                             double student_temperature, double teacher_temperature) {
  const WithoutAutocast exact(student.device());
  require_temperature(student_temperature, "the student");
  require_temperature(teacher_temperature, "the teacher");
  const int64_t views = student.size(0), globals = teacher.size(0), slices = teacher.size(1);
  const at::Tensor target = at::softmax((teacher.detach() - centre) / teacher_temperature, -1);  // [G, S, K]
  const at::Tensor answer = at::log_softmax(student / student_temperature, -1);                  // [V, S, K]
  const at::Tensor cross = -at::matmul(target.flatten(1), answer.flatten(1).t());                // [G, V]
  const at::Tensor own = cross.diagonal().sum();  // a view isn't compared with itself
  return (cross.sum() - own) / double(globals * (views - 1) * slices);
}

SelfDistillation::SelfDistillation(std::shared_ptr<Network> student, std::shared_ptr<Network> teacher)
    : student_(std::move(student)), teacher_(std::move(teacher)) {
  require(student_ != teacher_, "Expected a teacher that is another network than the student");
  const auto parameters = student_->named_parameters();
  const auto buffers = student_->named_buffers();
  const auto of_teacher = teacher_->named_parameters();
  const torch::NoGradGuard no_grad;
  for (const auto& item : parameters) {
    const at::Tensor* own = of_teacher.find(item.key());
    require(own != nullptr && own->sizes() == item.value().sizes() && own->device() == item.value().device(),
            "Expected a teacher that is built as the student, on its device, but they differ in ",
            item.key());
    own->set_requires_grad(false);
    own->copy_(item.value());
    student_parameters_.push_back(item.value());
    teacher_parameters_.push_back(*own);
    state_.emplace_back("teacher." + item.key(), *own);
  }
  const auto buffers_of_teacher = teacher_->named_buffers();
  for (const auto& item : buffers) {
    const at::Tensor* own = buffers_of_teacher.find(item.key());
    require(own != nullptr, "Expected a teacher that is built as the student, but it lacks ", item.key());
    own->copy_(item.value());
    student_buffers_.push_back(item.value());
    teacher_buffers_.push_back(*own);
    state_.emplace_back("teacher." + item.key(), *own);
  }
  require(of_teacher.size() == parameters.size(),
          "Expected a teacher that is built as the student, but it has ", of_teacher.size(),
          " parameters instead of ", parameters.size());
  const at::Tensor* prototypes = parameters.find(kPrototypes);
  require(prototypes != nullptr,
          "Expected a network with the head contrastive for self-distillation but received another");
  centre_ = at::zeros({1, prototypes->size(0)}, prototypes->options().requires_grad(false));
  state_.emplace_back("centre", centre_);
}

at::Tensor SelfDistillation::loss(const SliceViews& views, const Loss& loss, const DistillationStep& step) {
  check(views);
  require_weight(loss.distillation_weight, "distillationWeight");
  require_weight(loss.contrast_weight, "contrastWeight");
  require(loss.centre_momentum >= 0 && loss.centre_momentum < 1,
          "Expected a centreMomentum in [0, 1) but received ", loss.centre_momentum);
  const auto by_view = [&views](const at::Tensor& outputs) {
    return outputs.unflatten(0, {outputs.size(0) / views.slices, views.slices});  // [views, slices, K]
  };

  at::Tensor taught;  // [global views, slices, K]
  {
    const torch::NoGradGuard no_grad;
    teacher_->eval();
    const Features features = teacher_->embed_slices(views.global, views.global_position);
    taught = by_view(teacher_->project(features.tokens->cls));
  }
  const Features global = student_->embed_slices(views.global, views.global_position);
  at::Tensor answered = by_view(student_->project(global.tokens->cls));
  if (views.local.defined()) {
    const Features local = student_->embed_slices(views.local, views.local_position);
    answered = at::cat({answered, by_view(student_->project(local.tokens->cls))}, 0);
  }
  const double weight = share_of_batch(views.slices);
  at::Tensor total =
      loss.distillation_weight *
      sum_over_ranks(weight * self_distillation(answered, taught, centre_, loss.student_temperature,
                                                step.teacher_temperature));
  {
    const torch::NoGradGuard no_grad;
    const at::Tensor mean = sum_over_ranks(weight * taught.flatten(0, 1).mean(0, /*keepdim=*/true));
    centre_.mul_(loss.centre_momentum).add_(mean, 1 - loss.centre_momentum);
  }

  if (loss.contrast_weight > 0) {
    const at::Tensor patches = global.tokens->patches;  // [G S, P, E]
    const int64_t patch = student_->slice_patch();
    const at::Tensor share = by_view(patch_shares(views.lesion.unsqueeze(1), views.global.size(2) / patch,
                                                  views.global.size(3) / patch));  // [G, S, P]
    const auto features = [this, &patches](const at::Tensor& indices) {
      return student_->bottleneck(patches.flatten(0, 1).index_select(0, indices));
    };
    total = total + loss.contrast_weight * contrast_of_batch(share, /*rows_each=*/1, features, loss);
  }
  return total;
}

void SelfDistillation::follow(double momentum) {
  const torch::NoGradGuard no_grad;
  // Written as a step towards the student, so that weights that are equal stay equal to the bit.
  at::_foreach_lerp_(teacher_parameters_, student_parameters_, 1 - momentum);
  for (size_t index = 0; index < teacher_buffers_.size(); ++index)
    teacher_buffers_[index].copy_(student_buffers_[index]);
}

}  // namespace transfer_limits
