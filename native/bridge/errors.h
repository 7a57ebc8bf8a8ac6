#pragma once

#include <napi.h>

#include <string>

namespace transfer_limits {

// What was thrown, as code and message, so that it can cross from one thread to another.
struct Failure {
  std::string code;
  std::string message;
};

// Describes the exception that is being handled; call it inside `catch (...)`.
Failure current_failure();

Napi::Error to_javascript(Napi::Env env, const Failure& failure);

// Runs `body` and turns what it throws into a JavaScript error with a code.
template <typename Body>
auto guarded(Napi::Env env, Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw to_javascript(env, current_failure());
  }
}

}  // namespace transfer_limits
