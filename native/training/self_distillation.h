#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "models/network.h"
#include "modules.h"
#include "training/losses.h"

namespace transfer_limits {

// What one step sees of a batch of slices, each network's input as `Network::embed_slices` takes it. Views are ordered
// view by view: first one view of every slice, then the next.
struct SliceViews {
  at::Tensor global;           // [global views x slices, C, H, W]: teacher and student see them
  at::Tensor global_position;  // [.., 2]; undefined for an encoder without axis tokens
  at::Tensor local;  // [local views x slices, C, h, w]: the student alone sees them; undefined: none
  at::Tensor local_position;
  at::Tensor lesion;  // [global views x slices, 1, H, W]: not 0 in lesions
  int64_t slices = 1;
};

// What comes with each step, since it follows a schedule.
struct DistillationStep {
  double momentum = 0.996;  // of the teacher: how much of itself it keeps
  double teacher_temperature = 0.04;
  bool prototypes_frozen = false;  // the prototypes stay as they are
};

// The cross-entropy of self-distillation (Caron 2021, equation 1 and algorithm 1): with p = softmax((t - c) / tau_t) of
// the teacher's outputs and q = softmax(s / tau_s) of the student's,
//
//   mean over pairs of a global view g and another view v != g, and over slices, of -sum over k of p_gk log q_vk.
//
//   student  [views, slices, K], the global views first
//   teacher  [global views, slices, K]; no gradient goes there
//   centre   [1, K]
at::Tensor self_distillation(const at::Tensor& student, const at::Tensor& teacher, const at::Tensor& centre,
                             double student_temperature, double teacher_temperature);

// A teacher that follows a student: its weights are the student's moving average, its outputs are centred by their own.
// Both are networks with the contrastive head; class tokens go through its prototypes, patch tokens to its bottleneck.
class SelfDistillation {
 public:
  // The parameter that holds the prototypes.
  static constexpr const char* kPrototypes = "CL_Head.last_layer.weight_v";

  // The teacher gets the student's weights. Throws BAD_INPUT where the two are not built alike.
  SelfDistillation(std::shared_ptr<Network> student, std::shared_ptr<Network> teacher);

  // distillation_weight times the cross-entropy of class tokens, plus contrast_weight times the patch contrast of the
  // student's global views (patch_contrast.h). The centre moves with what the teacher answered, for the next step.
  at::Tensor loss(const SliceViews& views, const Loss& loss, const DistillationStep& step);

  // The teacher's weights move: momentum of themselves, the rest of the student's. Momentum lies in [0, 1].
  void follow(double momentum);

  // The teacher's weights, `teacher.<name>`, and `centre`, as they are: not copied.
  const std::vector<std::pair<std::string, at::Tensor>>& state() const { return state_; }

 private:
  std::shared_ptr<Network> student_, teacher_;
  std::vector<at::Tensor> student_parameters_, teacher_parameters_;
  std::vector<at::Tensor> student_buffers_, teacher_buffers_;
  at::Tensor centre_;  // [1, K]
  std::vector<std::pair<std::string, at::Tensor>> state_;
};

}  // namespace transfer_limits
