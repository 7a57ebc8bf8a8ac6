#include "bridge/errors.h"

#include <c10/util/Exception.h>

#include <new>

#include "error.h"

namespace transfer_limits {

Failure current_failure() {
  try {
    throw;
  } catch (const Error& error) {
    return {error.code(), error.what()};
  } catch (const c10::Error& error) {
    return {"INTERNAL", std::string("LibTorch: ") + error.what_without_backtrace()};
  } catch (const std::bad_alloc&) {
    return {"INTERNAL", "The machine has no memory left for this work"};
  } catch (const std::exception& error) {
    return {"INTERNAL", error.what()};
  } catch (...) {
    return {"INTERNAL", "Something unknown was thrown"};
  }
}

Napi::Error to_javascript(Napi::Env env, const Failure& failure) {
  Napi::Error error = Napi::Error::New(env, failure.message);
  error.Set("code", Napi::String::New(env, failure.code));
  return error;
}

}  // namespace transfer_limits
