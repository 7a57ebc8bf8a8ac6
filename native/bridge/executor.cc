#include "bridge/executor.h"

#include <map>
#include <string>
#include <thread>

namespace transfer_limits {

Executor& Executor::of(const torch::Device& device) {
  // Never destroyed: a thread that still works while the process ends must find its queue.
  static std::mutex* mutex = new std::mutex;
  static auto* executors = new std::map<std::string, Executor*>;
  const std::lock_guard<std::mutex> lock(*mutex);
  Executor*& executor = (*executors)[device.str()];
  if (executor == nullptr) {
    executor = new Executor(device.is_cpu() ? nullptr : std::make_unique<DeviceClock>(marks_on(device)));
  }
  return *executor;
}

Executor& Executor::of_files() {
  static auto* executor = new Executor(nullptr);  // never destroyed, as above
  return *executor;
}

Executor::Executor(std::unique_ptr<DeviceClock> clock) : clock_(std::move(clock)) {
  std::thread([this] { run(); }).detach();
}

void Executor::post(std::function<void()> task) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  wake_.notify_one();
}

void Executor::run() {
  for (;;) {
    std::function<void()> task;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [this] { return !tasks_.empty(); });
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    const DeviceClock::Work work(clock_.get());
    task();
  }
}

}  // namespace transfer_limits
