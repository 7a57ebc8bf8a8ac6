#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "layers/batch_part.h"
#include "layers/precision.h"
#include "models/network.h"
#include "modules.h"
#include "training/gradient_buckets.h"
#include "training/losses.h"
#include "training/rank_group.h"
#include "training/self_distillation.h"
#include "training/step_recorder.h"

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
  // How forward and backward compute their products; losses, parameters and their gradients are float32 in both.
  Precision precision = Precision::kFloat32;
  // Transformer and ConvNeXt blocks are computed once more on the way back instead of keeping what they need there.
  bool checkpointing = false;
  // A batch of more samples goes through the network in parts of at most so many; the gradients add up to the batch's.
  std::optional<int64_t> micro_batch;
  // On a GPU, steps of the same shape are recorded as a CUDA graph and played; see step_recorder.h. Not those of
  // self-distillation, whose settings change from step to step, and not beside checkpointing.
  bool cuda_graphs = false;
  std::shared_ptr<Network> teacher;  // for self-distillation, which needs one; it becomes the network's copy
  // The processes that train together, each on its part of every batch; steps are not recorded.
  std::shared_ptr<RankGroup> ranks;
};

// Which samples of the batch of all ranks a rank is given: as many as its input has, from `start`. A rank for which none
// is left is given any one of them, which then does not count.
struct OwnPart {
  int64_t start = 0;
  int64_t total = 0;
  bool counts = true;
};

// AdamW (Loshchilov 2019) on a network, one call a step. Weight decay acts on matrices and kernels only: norms,
// biases, tokens and GRN's vectors have none. The learning rate comes with each step: the schedule is the caller's.
// Nothing in a step waits for the device.
class Trainer {
 public:
  Trainer(std::shared_ptr<Network> network, TrainerOptions options);

  // Forward in training mode, loss, backward, clipping, update. What is drawn inside comes from `seed`. Where the
  // encoder's features of the input are given, the encoder isn't run. Answers [2] on the device: the loss before the
  // step and the gradient's norm before clipping. Where the loss is not finite, nothing is updated.
  // With ranks, `own` says which part of the batch of all ranks the input is; loss and norm are those of all, and the
  // step is the one that one process takes on the whole batch, up to rounding.
  at::Tensor step(const at::Tensor& input, const at::Tensor& target, const std::optional<Features>& features,
                  double learning_rate, uint64_t seed, const std::optional<OwnPart>& own = std::nullopt);

  // The pass forward of a step alone, without a gradient: batch norm takes its statistics, nothing else changes.
  void settle(const at::Tensor& input, const at::Tensor& target, uint64_t seed);

  // A step of self-distillation: both networks see the views, the network takes a step, the teacher follows. Throws
  // BAD_INPUT for a trainer without a teacher. With ranks, `own` counts slices.
  at::Tensor distil(const SliceViews& views, const DistillationStep& distillation, double learning_rate,
                    uint64_t seed, const std::optional<OwnPart>& own = std::nullopt);

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
    at::Tensor learning_rate;  // that of the present step, where it can't be a number: in a recorded one
  };

  Group& group_of(double weight_decay, double rate);
  void check_micro_batches() const;
  void join_ranks();
  // Throws BAD_INPUT where a step's part of the batch of all ranks is missing, or does not fit its samples.
  void check_part(const std::optional<OwnPart>& own, int64_t samples) const;
  // Rank 0's network, moments and number of steps become every rank's, and so does what its teacher holds.
  void take_from_first();
  void prepare_recording();
  // What comes before a loss: draws, mode and gradients are as at the start of a step.
  void begin(uint64_t seed);
  // The loss of a batch, or of a part of one.
  at::Tensor loss_of(const at::Tensor& input, const at::Tensor& target,
                     const std::optional<Features>& features, const BatchPart* part = nullptr);
  // The gradient of a batch's loss, part by part, added to the parameters'; the loss.
  at::Tensor accumulate(const at::Tensor& input, const at::Tensor& target,
                        const std::optional<Features>& features, const std::optional<OwnPart>& own);
  // The pass backward of a loss that every rank has as a whole; gradients are those of all ranks together.
  void backward_over_ranks(const at::Tensor& loss);
  // The whole of a step, once its draws and its learning rate are set.
  at::Tensor whole_step(const at::Tensor& input, const at::Tensor& target,
                        const std::optional<Features>& features, double learning_rate,
                        const std::optional<OwnPart>& own = std::nullopt);
  at::Tensor recorded_step(const at::Tensor& input, const at::Tensor& target,
                           const std::optional<Features>& features, double learning_rate);
  // What comes after backward: clipping, update. Parameters of these names stay as they are.
  at::Tensor descend(const at::Tensor& loss, double learning_rate, const std::vector<std::string>& frozen);

  std::shared_ptr<Network> network_;
  TrainerOptions options_;
  std::vector<Group> groups_;
  at::Tensor seed_;  // [1] int64, of the present step, where the network is
  // Parts of which nothing is trained: they answer as in evaluation, so that batch norm keeps its statistics.
  std::vector<std::shared_ptr<torch::nn::Module>> frozen_;
  int64_t steps_ = 0;
  std::optional<SelfDistillation> distillation_;
  std::unique_ptr<StepRecorder> recorder_;
  std::unique_ptr<GradientBuckets> buckets_;
  std::shared_ptr<const std::function<void(at::Tensor&)>> sum_over_ranks_;
  bool embeds_ = false;  // whether steps on volumes run an encoder
};

}  // namespace transfer_limits
