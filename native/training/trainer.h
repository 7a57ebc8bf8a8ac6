#pragma once

#include <torch/torch.h>

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "models/network.h"

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

  // The optimiser's moments by name, `first.<parameter>` and `second.<parameter>`, as copies.
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

  std::shared_ptr<Network> network_;
  TrainerOptions options_;
  std::vector<Group> groups_;
  int64_t steps_ = 0;
};

}  // namespace transfer_limits
