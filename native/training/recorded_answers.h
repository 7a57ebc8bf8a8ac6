#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "layers/precision.h"
#include "models/network.h"
#include "training/step_recorder.h"

namespace transfer_limits {

// What a network on a GPU answers in evaluation, recorded as a CUDA graph for each shape and played, as steps of training
// are (step_recorder.h): sampling asks the same network dozens of times a volume. Its weights may change between answers,
// but stay where they are. What finds no memory to be recorded in goes on as it is.
class RecordedAnswers {
 public:
  // What is asked for, of which each has recordings of its own.
  enum class Kind : std::uint8_t { kForward, kDecode };
  using Answer = StepRecorder::Step;

  // `answer(inputs)`, which must depend on nothing but the inputs and the network.
  at::Tensor run(Network& network, Kind kind, Precision precision, const std::vector<at::Tensor>& inputs,
                 const Answer& answer);

 private:
  struct Recorder {
    std::unique_ptr<StepRecorder> steps;  // none once there was no memory to record in
    bool embeds = false;                  // whether an answer runs the encoder
  };
  std::map<std::pair<Kind, Precision>, Recorder> recorders_;
};

}  // namespace transfer_limits
