#include "bridge/environment.h"

#include <utility>

namespace transfer_limits {
namespace {

using Report = std::function<void(Napi::Env)>;

}  // namespace

Environment::Environment(Napi::Env env, Classes classes) : classes_(std::move(classes)), env_(env) {
  const napi_status status = napi_create_threadsafe_function(
      env, nullptr, nullptr, Napi::String::New(env, "transfer-limits"), /*max_queue_size=*/0,
      /*initial_thread_count=*/1, nullptr, nullptr, this, &Environment::deliver, &function_);
  if (status != napi_ok)
    throw Napi::Error::New(env, "The way back to the JavaScript thread could not be made");
  napi_unref_threadsafe_function(env, function_);  // an idle addon does not keep the process alive
}

void Environment::create(Napi::Env env, Classes classes) {
  auto* holder = new std::shared_ptr<Environment>(new Environment(env, std::move(classes)));
  env.SetInstanceData<std::shared_ptr<Environment>>(holder);
  // Before the environment goes, its classes are released and later reports find the door closed.
  env.AddCleanupHook([environment = *holder] { environment->close(); });
}

std::shared_ptr<Environment> Environment::of(Napi::Env env) {
  return *env.GetInstanceData<std::shared_ptr<Environment>>();
}

void Environment::close() {
  const std::lock_guard<std::mutex> lock(mutex_);
  open_ = false;
  classes_.reset();
  napi_release_threadsafe_function(function_, napi_tsfn_abort);
}

void Environment::begin() {
  if (pending_++ == 0) napi_ref_threadsafe_function(env_, function_);
}

void Environment::finish(Report report) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!open_) return;
  auto* data = new Report(std::move(report));
  if (napi_call_threadsafe_function(function_, data, napi_tsfn_nonblocking) != napi_ok) delete data;
}

void Environment::deliver(napi_env env, napi_value, void* context, void* data) {
  const std::unique_ptr<Report> report(static_cast<Report*>(data));
  if (env == nullptr) return;  // the environment is being torn down
  auto* self = static_cast<Environment*>(context);
  const Napi::HandleScope scope(env);
  try {
    (*report)(Napi::Env(env));
  } catch (const Napi::Error&) {  // NOLINT(bugprone-empty-catch): what follows says why
    // The thread is being ended, and runs no more JavaScript: nobody waits for the report. Here nothing may be thrown.
  }
  if (--self->pending_ == 0) napi_unref_threadsafe_function(env, self->function_);
}

}  // namespace transfer_limits
