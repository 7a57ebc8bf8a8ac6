// What stands for CUDA graphs in a build without CUDA.
#include "error.h"
#include "training/step_recorder.h"

namespace transfer_limits::cuda {

std::unique_ptr<StepRecorder> step_recorder(const at::Device& device) {
  throw Error("BAD_INPUT",
              "Expected a build with CUDA to record steps on " + device.str() +
                  " but this one has none. The command doctor says how to build the CUDA flavour");
}

}  // namespace transfer_limits::cuda
