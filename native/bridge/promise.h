#pragma once

#include <napi.h>

#include <memory>
#include <optional>
#include <utility>

#include "bridge/environment.h"
#include "bridge/errors.h"
#include "bridge/executor.h"

namespace transfer_limits {

// Runs `work` on an executor and answers with a promise. `convert(env, result)` makes the JavaScript value on the
// JavaScript thread; whatever either of them throws rejects the promise with a code.
template <typename Work, typename Convert>
Napi::Value promise(Napi::Env env, Executor& executor, Work work, Convert convert) {
  using Result = decltype(work());
  auto deferred = std::make_shared<Napi::Promise::Deferred>(env);
  auto environment = Environment::of(env);
  environment->begin();
  const Napi::Value answer = deferred->Promise();
  executor.post([environment, deferred, work = std::move(work), convert = std::move(convert)]() mutable {
    auto result = std::make_shared<std::optional<Result>>();
    auto failure = std::make_shared<std::optional<Failure>>();
    try {
      result->emplace(work());
    } catch (...) {
      failure->emplace(current_failure());
    }
    environment->finish([deferred, result, failure, convert = std::move(convert)](Napi::Env env) mutable {
      if (*failure) {
        deferred->Reject(to_javascript(env, **failure).Value());
        return;
      }
      try {
        deferred->Resolve(convert(env, std::move(**result)));
      } catch (const Napi::Error& error) {
        deferred->Reject(error.Value());
      } catch (...) {
        deferred->Reject(to_javascript(env, current_failure()).Value());
      }
    });
  });
  return answer;
}

// On the device's executor.
template <typename Work, typename Convert>
Napi::Value promise(Napi::Env env, const torch::Device& device, Work work, Convert convert) {
  return promise(env, Executor::of(device), std::move(work), std::move(convert));
}

// For work without a result: the promise resolves to undefined.
struct Nothing {};
inline Napi::Value to_undefined(Napi::Env env, Nothing) { return env.Undefined(); }

}  // namespace transfer_limits
