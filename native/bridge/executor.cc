#include "bridge/executor.h"

#include <chrono>
#include <map>
#include <string>
#include <thread>

#include "bridge/kept_memory.h"

namespace transfer_limits {
namespace {

// How long without anything to do.
constexpr std::chrono::seconds kIdle(1);

}  // namespace

Executor& Executor::of(const torch::Device& device) {
  // Never destroyed: a thread that still works while the process ends must find its queue.
  static std::mutex* mutex = new std::mutex;
  static auto* executors = new std::map<std::string, Executor*>;
  const std::lock_guard<std::mutex> lock(*mutex);
  Executor*& executor = (*executors)[device.str()];
  if (executor == nullptr) {
    executor = new Executor(device.is_cpu() ? nullptr : std::make_unique<DeviceClock>(marks_on(device)),
                            /*keeps_memory=*/true);
  }
  return *executor;
}

Executor& Executor::of_files() {
  static auto* executor = new Executor(nullptr, /*keeps_memory=*/false);  // never destroyed, as above
  return *executor;
}

Executor::Executor(std::unique_ptr<DeviceClock> clock, bool keeps_memory)
    : clock_(std::move(clock)), keeps_memory_(keeps_memory) {
  std::thread([this] { run(); }).detach();
}

Executor& Executor::of_processes() {
  static auto* executor = new Executor(nullptr, /*keeps_memory=*/false);  // never destroyed, as above
  return *executor;
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
      const auto asked = [this] { return !tasks_.empty(); };
      // By the system's clock: waiting by another one asks for a newer C library.
      if (keeps_memory_ && !wake_.wait_until(lock, std::chrono::system_clock::now() + kIdle, asked)) {
        lock.unlock();
        give_back_kept_memory();
        lock.lock();
      }
      wake_.wait(lock, asked);
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    const DeviceClock::Work work(clock_.get());
    task();
  }
}

}  // namespace transfer_limits
