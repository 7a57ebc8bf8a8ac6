#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <mutex>

namespace transfer_limits {

// One JavaScript environment (the main thread, or a worker thread) that has loaded the addon: the way back to its
// thread, and the classes made for it. Work may outlive an environment; what it then reports is dropped.
class Environment {
 public:
  static void create(Napi::Env env);
  static std::shared_ptr<Environment> of(Napi::Env env);

  // Called on the JavaScript thread for each promise: the process stays alive until its work is reported.
  void begin();
  // Called on any thread: `report` runs on the JavaScript thread.
  void finish(std::function<void(Napi::Env)> report);

  Napi::FunctionReference tensor_class;
  Napi::FunctionReference network_class;
  Napi::FunctionReference trainer_class;
  Napi::FunctionReference cancel_class;
  Napi::FunctionReference ranks_class;
  Napi::FunctionReference rank_store_class;

 private:
  explicit Environment(Napi::Env env);
  static void deliver(napi_env env, napi_value, void* context, void* data);
  void close();

  std::mutex mutex_;
  bool open_ = true;
  napi_env env_;
  napi_threadsafe_function function_ = nullptr;
  int64_t pending_ = 0;
};

}  // namespace transfer_limits
