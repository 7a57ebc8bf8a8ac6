#pragma once

#include <torch/torch.h>

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "models/network.h"
#include "training/self_distillation.h"

namespace transfer_limits {

struct TrainerOptions {
  Loss loss;
  double weight_decay = 0.01;
  double beta1 = 0.9;
  double beta2 = 0.999;
  std::optional<double> gradient_clip;
  std::vector<std::string> trainable;  // prefixes of parameter names; empty: all
  // What a parameter's learning rate is multiplied with, by its name; 1 where it does not stand here.
  std::unordered_map<std::string, double> rates;
  double auxiliary_weight = 0.4;
  std::shared_ptr<Network> teacher;  // for self-distillation, which needs one; it becomes the network's copy
};

struct StepResult {
  double loss = 0.0;           // before the step
  double gradient_norm = 0.0;  // before clipping
};

// AdamW (Loshchilov 2019) on a network, one call a step. Weight decay acts on matrices and kernels only: norms,
// biases, tokens and GRN's vectors have none. The learning rate comes with each step: the schedule is the caller's.
class Trainer {
 public:
  Trainer(std::shared_ptr<Network> network, TrainerOptions options);

  // Forward in training mode, loss, backward, clipping, update. What is drawn inside comes from `seed`. Where the
  // encoder's features of the input are given, the encoder isn't run.
  StepResult step(const at::Tensor& input, const at::Tensor& target, const std::optional<Features>& features,
                  double learning_rate, uint64_t seed);

  // A step of self-distillation: both networks see the views, the network takes a step, the teacher follows. Throws
  // BAD_INPUT for a trainer without a teacher.
  StepResult distil(const SliceViews& views, const DistillationStep& distillation, double learning_rate,
                    uint64_t seed);

  // The optimiser's moments by name, `first.<parameter>`, `second.<parameter>` and `steps.<parameter>`, and where there
  // is a teacher its weights and the centre, all as copies.
  std::vector<std::pair<std::string, at::Tensor>> state() const;
  int64_t steps() const { return steps_; }
  // Restores what `state` gave. Throws BAD_CHECKPOINT where names or shapes differ.
  void assign(int64_t steps, const std::vector<std::string>& names, const std::vector<at::Tensor>& tensors);

 private:
  // Parameters that share a weight decay and a multiple of the learning rate, and their moments.
  struct Group {
    double weight_decay = 0.0;
    double rate = 1.0;
    std::vector<std::string> names;
    std::vector<at::Tensor> parameters, first, second, steps;
  };

  Group& group_of(double weight_decay, double rate);
  // What comes before a loss: draws, mode and gradients are as at the start of a step.
  void begin(uint64_t seed);
  // What comes after it: backward, clipping, update. Parameters of these names stay as they are.
  StepResult descend(const at::Tensor& loss, double learning_rate, const std::vector<std::string>& frozen);

  std::shared_ptr<Network> network_;
  TrainerOptions options_;
  std::vector<Group> groups_;
  // Parts of which nothing is trained: they answer as in evaluation, so that batch norm keeps its statistics.
  std::vector<std::shared_ptr<torch::nn::Module>> frozen_;
  int64_t steps_ = 0;
  std::optional<SelfDistillation> distillation_;
};

}  // namespace transfer_limits
