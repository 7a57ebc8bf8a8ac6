#pragma once

#include <napi.h>

#include <atomic>
#include <memory>
#include <optional>

#include "bridge/arguments.h"
#include "bridge/environment.h"
#include "error.h"
#include "models/network.h"
#include "modules.h"
#include "training/recorded_answers.h"
#include "training/trainer.h"

namespace transfer_limits {

// A tensor as JavaScript holds it: read-only properties, dispose(), and a count of those alive.
class TensorHandle : public Napi::ObjectWrap<TensorHandle> {
 public:
  static Napi::Function define(Napi::Env env);
  static Napi::Object create(Napi::Env env, at::Tensor tensor);
  // The tensor behind a value. Throws BAD_INPUT where it is something else, DISPOSED where it is gone.
  static at::Tensor get(const Napi::Value& value, const char* name);
  static int64_t live() { return live_; }

  explicit TensorHandle(const Napi::CallbackInfo& info);
  ~TensorHandle() override;

 private:
  Napi::Value shape(const Napi::CallbackInfo& info);
  Napi::Value dtype(const Napi::CallbackInfo& info);
  Napi::Value device(const Napi::CallbackInfo& info);
  Napi::Value disposed(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);
  void release();

  static std::atomic<int64_t> live_;
  at::Tensor tensor_;
  // Kept for a disposed tensor, whose shape an error message may still want.
  std::vector<int64_t> shape_;
  int64_t bytes_ = 0;
};

// A typed array over the memory of `tensor`, which is contiguous and on the CPU: nothing is copied.
Napi::Value to_typed_array(Napi::Env env, const at::Tensor& tensor);
// The tensor whose memory `to_typed_array` made `array` over, if it did and the array still covers it.
std::optional<at::Tensor> tensor_under(const Napi::TypedArray& array);

// Something shared that JavaScript may let go of early: a network, a trainer, a cancel flag.
template <typename T>
class SharedHandle : public Napi::ObjectWrap<SharedHandle<T>> {
 public:
  using Self = SharedHandle<T>;

  static Napi::Function define(Napi::Env env, const char* name) {
    return Self::DefineClass(env, name,
                             {Self::InstanceMethod("dispose", &Self::dispose),
                              Self::InstanceAccessor("disposed", &Self::disposed, nullptr)});
  }

  static Napi::Object create(Napi::Env env, const Napi::FunctionReference& type, std::shared_ptr<T> shared) {
    return type.New({Napi::External<std::shared_ptr<T>>::New(env, &shared)});
  }

  static std::shared_ptr<T> get(const Napi::FunctionReference& type, const Napi::Value& value,
                                const char* name) {
    if (!value.IsObject() || !value.As<Napi::Object>().InstanceOf(type.Value())) {
      throw Error("BAD_INPUT", std::string("Expected what this addon made for ") + name + " but received " +
                                   describe(value));
    }
    auto shared = Self::Unwrap(value.As<Napi::Object>())->shared_;
    if (!shared) throw Error("DISPOSED", std::string("The ") + name + " was disposed before this call");
    return shared;
  }

  explicit SharedHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Self>(info) {
    if (info.Length() != 1 || !info[0].IsExternal()) {
      throw Napi::TypeError::New(info.Env(), "This class is made by the addon only");
    }
    shared_ = *info[0].As<Napi::External<std::shared_ptr<T>>>().Data();
  }

 private:
  Napi::Value disposed(const Napi::CallbackInfo& info) { return Napi::Boolean::New(info.Env(), !shared_); }
  void dispose(const Napi::CallbackInfo&) { shared_.reset(); }

  std::shared_ptr<T> shared_;
};

// A network, the device that its work runs on, and what it computes in: float32 or float64.
struct PlacedNetwork {
  std::shared_ptr<Network> network;
  torch::Device device;
  at::ScalarType type;
  RecordedAnswers recorded = {};  // for the device's executor alone
};
struct PlacedTrainer {
  std::shared_ptr<Trainer> trainer;
  torch::Device device;
  at::ScalarType type;
};
using CancelFlag = std::atomic<bool>;

using NetworkHandle = SharedHandle<PlacedNetwork>;
using TrainerHandle = SharedHandle<PlacedTrainer>;
using CancelHandle = SharedHandle<CancelFlag>;
using RanksHandle = SharedHandle<RankGroup>;
using RankStoreHandle = SharedHandle<RankStore>;

}  // namespace transfer_limits
