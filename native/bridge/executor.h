#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>

#include "kernels/device_clock.h"
#include "modules.h"

namespace transfer_limits {

// The one thread that runs all LibTorch work of a device, in the order in which it was asked for: OpenMP keeps one
// pool of threads, CUDA one stream, and JavaScript never waits.
class Executor {
 public:
  // The executor of that device; it starts with the first use and lives as long as the process.
  static Executor& of(const torch::Device& device);
  // One that waits for disks: what it does must neither compute nor touch a device.
  static Executor& of_files();
  // One that asks other processes, which answer at once or not at all: it must neither compute nor touch a device.
  static Executor& of_processes();

  void post(std::function<void()> task);
  // Of a GPU: what its work has taken on the device itself. For this executor's thread alone. Null elsewhere.
  DeviceClock* clock() { return clock_.get(); }

 private:
  Executor(std::unique_ptr<DeviceClock> clock, bool keeps_memory);
  void run();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  std::unique_ptr<DeviceClock> clock_;
  bool keeps_memory_;  // between its tasks, for coming tensors: kept_memory.h
};

}  // namespace transfer_limits
