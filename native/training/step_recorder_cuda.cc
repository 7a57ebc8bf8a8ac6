#include <ATen/cuda/CUDAGraph.h>
#include <c10/core/Event.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>
#include <list>
#include <sstream>

#include "error.h"
#include "training/step_recorder.h"

namespace transfer_limits::cuda {
namespace {

// Batches of a training have one shape, or a second one at the end of an epoch. Every recorded one holds memory.
constexpr size_t kMostShapes = 4;

// What comes next on `stream` waits for what is on `other` by now.
void follow(const c10::cuda::CUDAStream& stream, const c10::cuda::CUDAStream& other) {
  c10::Event event(c10::DeviceType::CUDA);
  event.record(other.unwrap());
  event.block(stream.unwrap());
}

bool same_kind(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type();
}

class GraphRecorder final : public StepRecorder {
 public:
  explicit GraphRecorder(const at::Device& device)
      : device_(device),
        stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index())),
        pool_(at::cuda::graph_pool_handle()) {}

  // All of it is on a stream of its own, as a graph can't be recorded on the default one; the caller's stream waits.
  at::Tensor run(const std::vector<at::Tensor>& inputs, const Step& step) override {
    const c10::cuda::CUDAStream caller = c10::cuda::getCurrentCUDAStream(device_.index());
    follow(stream_, caller);
    at::Tensor answer;
    try {
      const c10::cuda::CUDAStreamGuard guard(stream_);
      answer = answered(inputs, step);
    } catch (...) {
      follow(caller, stream_);  // what was started still reads the inputs
      throw;
    }
    follow(caller, stream_);
    return answer;
  }

 private:
  struct Recording {
    std::vector<at::Tensor> inputs;  // of its shape: what the graph reads
    int plain_steps = 0;
    at::Tensor answer;
    std::unique_ptr<at::cuda::CUDAGraph> graph;
  };

  at::Tensor answered(const std::vector<at::Tensor>& inputs, const Step& step) {
    Recording* recording = recording_for(inputs);
    if (recording == nullptr) return step(inputs);
    if (!recording->graph) {
      if (recording->plain_steps++ < kPlainSteps) return step(inputs);
      record(*recording, step);
    }
    for (size_t index = 0; index < inputs.size(); ++index) {
      recording->inputs[index].copy_(inputs[index], /*non_blocking=*/true);
    }
    recording->graph->replay();
    // The graph's own answer lies where its next run, or that of another shape, writes.
    return recording->answer.clone();
  }

  // Null for one shape too many.
  Recording* recording_for(const std::vector<at::Tensor>& inputs) {
    for (Recording& recording : recordings_) {
      if (std::equal(inputs.begin(), inputs.end(), recording.inputs.begin(), recording.inputs.end(),
                     same_kind)) {
        return &recording;
      }
    }
    if (recordings_.size() == kMostShapes) return nullptr;
    Recording& recording = recordings_.emplace_back();
    for (const at::Tensor& input : inputs) recording.inputs.push_back(at::empty_like(input));
    return &recording;
  }

  // Nothing runs while it is recorded. All shapes take their memory from one pool: they never run at the same time, and
  // nothing of one is needed after it.
  void record(Recording& recording, const Step& step) const {
    stream_.synchronize();
    c10::cuda::CUDACachingAllocator::emptyCache();  // what plain steps took, the graph takes once more
    auto graph = std::make_unique<at::cuda::CUDAGraph>();
    bool capturing = false;
    try {
      // Other threads may go on taking memory and copying meanwhile.
      graph->capture_begin(pool_, cudaStreamCaptureModeThreadLocal);
      capturing = true;
      recording.answer = step(recording.inputs);
      capturing = false;
      graph->capture_end();
    } catch (const c10::OutOfMemoryError&) {
      if (capturing) abandon(*graph);
      throw;  // that it would do without recording is not said
    } catch (const std::exception& error) {
      const std::string reason = error.what();
      if (capturing) abandon(*graph);
      std::ostringstream message;
      message
          << "Expected a step of training, or an answer, that can be recorded as a CUDA graph, but that to "
          << recording.inputs[0].sizes() << " can't: " << reason
          << "\nDo without: execution.cudaGraphs: false";
      throw Error("BAD_CONFIG", message.str());
    }
    recording.graph = std::move(graph);
  }

  // A graph does not end what it began: the stream would go on recording, and the allocator go on serving the pool.
  void abandon(at::cuda::CUDAGraph& graph) const {
    bool ended = true;
    try {
      graph.capture_end();
    } catch (const std::exception&) {  // what was recorded is not sound
      ended = false;
    }
    if (ended) return;
    try {
      c10::cuda::CUDACachingAllocator::endAllocateToPool(device_.index(), pool_);
    } catch (const std::exception&) {
      return;  // it heard of the end before the other error
    }
  }

  at::Device device_;
  c10::cuda::CUDAStream stream_;
  at::cuda::MempoolId_t pool_;
  std::list<Recording> recordings_;
};

}  // namespace

std::unique_ptr<StepRecorder> step_recorder(const at::Device& device) {
  return std::make_unique<GraphRecorder>(device);
}

}  // namespace transfer_limits::cuda
