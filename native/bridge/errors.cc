#include "bridge/errors.h"

#include <c10/util/Exception.h>

#include <new>

#include "error.h"

namespace transfer_limits {
namespace {

Failure out_of_memory(const std::string& what) {
  return {"OUT_OF_MEMORY", "No memory is left for this work (" + what.substr(0, 500) +
                               "). Less is needed with fewer jobs, a smaller microBatch, or fewer voxels"};
}

}  // namespace

Failure current_failure() {
  try {
    throw;
  } catch (const Error& error) {
    return {error.code(), error.what()};
  } catch (const c10::OutOfMemoryError& error) {
    return out_of_memory(error.what_without_backtrace());
  } catch (const c10::Error& error) {
    const std::string message = error.what_without_backtrace();
    // LibTorch's allocator for the CPU has no type of its own for this.
    if (message.find("you tried to allocate") != std::string::npos) return out_of_memory(message);
    return {"INTERNAL", "LibTorch: " + message};
  } catch (const std::bad_alloc&) {
    return out_of_memory("an allocation was refused");
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
