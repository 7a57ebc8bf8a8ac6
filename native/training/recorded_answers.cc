#include "training/recorded_answers.h"

#include <c10/util/Exception.h>

#include "training/counted_embedding.h"

namespace transfer_limits {

at::Tensor RecordedAnswers::run(Network& network, Kind kind, Precision precision,
                                const std::vector<at::Tensor>& inputs, const Answer& answer) {
  const at::Device device = inputs.at(0).device();
  if (!device.is_cuda()) return answer(inputs);
  auto found = recorders_.find({kind, precision});
  if (found == recorders_.end()) {
    found = recorders_.emplace(std::pair{kind, precision}, Recorder{cuda::step_recorder(device)}).first;
  }
  Recorder& recorder = found->second;
  if (!recorder.steps) return answer(inputs);
  try {
    return count_embedded_in(network, inputs[0].size(0), recorder.embeds,
                             [&] { return recorder.steps->run(inputs, answer); });
  } catch (const c10::OutOfMemoryError&) {
    recorder.steps.reset();  // with what its recordings hold
    return answer(inputs);
  }
}

}  // namespace transfer_limits
