#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <sys/resource.h>
#include <torch/version.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "bridge/arguments.h"
#include "bridge/executor.h"
#include "bridge/functions.h"
#include "bridge/handles.h"
#include "bridge/promise.h"
#include "kernels/cuda_devices.h"
#include "layers/numerics.h"

namespace transfer_limits::functions {
namespace {

std::atomic<int64_t> thread_count = 0;

}  // namespace

Napi::Value build_info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto result = Napi::Object::New(env);
  result.Set("libtorch", TORCH_VERSION_MAJOR >= 0 ? std::to_string(TORCH_VERSION_MAJOR) + "." +
                                                        std::to_string(TORCH_VERSION_MINOR) + "." +
                                                        std::to_string(TORCH_VERSION_PATCH)
                                                  : "");
  const std::string version = cuda::version();
  result.Set("cuda", !version.empty());
  result.Set("cudaVersion", version.empty() ? env.Null() : Napi::Value(Napi::String::New(env, version)));
  result.Set("compiler", "g++ " __VERSION__);
  result.Set("cpuCapability", at::get_cpu_capability());
  auto list = Napi::Array::New(env);
  for (const cuda::Device& device : cuda::devices()) {
    auto entry = Napi::Object::New(env);
    entry.Set("id", "cuda:" + std::to_string(list.Length()));
    entry.Set("name", device.name);
    entry.Set("memoryBytes", double(device.memory_bytes));
    list.Set(list.Length(), entry);
  }
  result.Set("devices", list);
  return result;
}

Napi::Value set_threads(const Napi::CallbackInfo& info) {
  const int64_t count = integer(info[0], "count");
  require(count >= 1 && count <= 1024, "Expected 1 to 1024 for the number of threads but received ", count);
  thread_count = count;
  // OpenMP keeps the number per calling thread, and the executor is the one that calls.
  Executor::of(torch::kCPU).post([count] { at::set_num_threads(int(count)); });
  return info.Env().Undefined();
}

Napi::Value threads(const Napi::CallbackInfo& info) {
  const int64_t chosen = thread_count;
  return Napi::Number::New(info.Env(), double(chosen > 0 ? chosen : at::get_num_threads()));
}

Napi::Value set_deterministic(const Napi::CallbackInfo& info) {
  require(info[0].IsBoolean(), "Expected true or false for deterministic");
  transfer_limits::set_deterministic(info[0].ToBoolean());
  return info.Env().Undefined();
}

Napi::Value device_milliseconds(const Napi::CallbackInfo& info) {
  const torch::Device device = device_named(text(info[0], "device"));
  Executor& executor = Executor::of(device);
  require(executor.clock() != nullptr, "Expected a GPU for deviceMilliseconds but received ", device.str());
  return promise(
      info.Env(), executor, [&executor] { return executor.clock()->milliseconds(); },
      [](Napi::Env env, double milliseconds) { return Napi::Value(Napi::Number::New(env, milliseconds)); });
}

Napi::Value live_tensors(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), double(TensorHandle::live()));
}

Napi::Value peak_memory(const Napi::CallbackInfo& info) {
  const torch::Device device = device_named(text(info[0], "device"));
  if (device.is_cuda()) return Napi::Number::New(info.Env(), double(cuda::peak_memory(device.index())));
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return Napi::Number::New(info.Env(), double(usage.ru_maxrss) * 1024.0);  // the kernel counts in KiB
}

Napi::Value reset_peak_memory(const Napi::CallbackInfo& info) {
  const torch::Device device = device_named(text(info[0], "device"));
  if (device.is_cuda()) {
    cuda::reset_peak_memory(device.index());
  } else {
    // Linux: the peak of what lies in memory is from now on what lies there now.
    std::ofstream("/proc/self/clear_refs") << 5;
  }
  return info.Env().Undefined();
}

Napi::Value cancel_flag(const Napi::CallbackInfo& info) {
  return CancelHandle::create(info.Env(), Environment::of(info.Env())->classes().cancel,
                              std::make_shared<CancelFlag>(false));
}

Napi::Value cancel(const Napi::CallbackInfo& info) {
  *CancelHandle::get(Environment::of(info.Env())->classes().cancel, info[0], "flag") = true;
  return info.Env().Undefined();
}

Napi::Value free_memory(const Napi::CallbackInfo& info) {
  const torch::Device device = device_named(text(info[0], "device"));
  require(!device.is_cpu(), "Expected a GPU for freeMemory but received ", device.str());
  // A GPU without a number is the first.
  const auto [free, total] =
      at::getDeviceAllocator(device.type())->getMemoryInfo(device.has_index() ? device.index() : 0);
  return Napi::Number::New(info.Env(), double(free));
}

}  // namespace transfer_limits::functions
