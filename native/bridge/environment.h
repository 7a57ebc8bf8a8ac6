#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <mutex>
#include <optional>

namespace transfer_limits {

// The classes that were made for one environment. They are let go of on its thread and before it ends: what holds a
// reference later writes to memory that is Node's no more.
struct Classes {
  Napi::FunctionReference tensor, network, trainer, cancel, ranks, rank_store;
};

// One JavaScript environment (the main thread, or a worker thread) that has loaded the addon: the way back to its
// thread, and the classes made for it. Work may outlive an environment; what it then reports is dropped.
class Environment {
 public:
  static void create(Napi::Env env, Classes classes);
  static std::shared_ptr<Environment> of(Napi::Env env);

  // Called on the JavaScript thread for each promise: the process stays alive until its work is reported.
  void begin();
  // Called on any thread: `report` runs on the JavaScript thread.
  void finish(std::function<void(Napi::Env)> report);

  // On the JavaScript thread, while the environment lives.
  const Classes& classes() const { return *classes_; }

 private:
  Environment(Napi::Env env, Classes classes);
  static void deliver(napi_env env, napi_value, void* context, void* data);
  void close();

  std::mutex mutex_;
  bool open_ = true;
  std::optional<Classes> classes_;
  napi_env env_;
  napi_threadsafe_function function_ = nullptr;
  int64_t pending_ = 0;
};

}  // namespace transfer_limits
