#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "tensor.h"

namespace transfer_limits {

// Records a step of training, or an answer, once for each shape of its batch, and plays it again for every further batch of
// that shape: the host then starts one graph instead of hundreds of kernels, which it can't start as fast as small ones run.
class StepRecorder {
 public:
  using Step = std::function<at::Tensor(const std::vector<at::Tensor>& inputs)>;

  // Steps of a shape that run as they are before one is recorded: libraries choose algorithms and take workspace in
  // them, which can't be done while recording.
  static constexpr int kPlainSteps = 3;

  StepRecorder() = default;
  StepRecorder(const StepRecorder&) = delete;
  StepRecorder& operator=(const StepRecorder&) = delete;
  virtual ~StepRecorder() = default;

  // What `step` answers to the inputs, as a tensor of the caller's. Every call must mean the same step; what differs
  // between calls must come through the inputs, through tensors that stay where they are, or from the device's
  // generator.
  virtual at::Tensor run(const std::vector<at::Tensor>& inputs, const Step& step) = 0;
};

namespace cuda {

// By CUDA graphs. Throws BAD_INPUT in a build without CUDA.
std::unique_ptr<StepRecorder> step_recorder(const at::Device& device);

}  // namespace cuda
}  // namespace transfer_limits
