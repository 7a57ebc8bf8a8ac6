// Opens LibTorch's libraries by absolute path and for everybody (RTLD_GLOBAL), so that the addon proper, which is
// linked without rpath, finds their symbols wherever they lie. This file knows nothing of LibTorch itself.
#include <dlfcn.h>
#include <napi.h>

namespace {

// open(paths: string[]): opens each in order; throws with the system's own words at the first that fails.
Napi::Value open(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (info.Length() < 1 || !info[0].IsArray()) {
    throw Napi::TypeError::New(env, "Expected an array of paths for paths");
  }
  const auto paths = info[0].As<Napi::Array>();
  for (uint32_t index = 0; index < paths.Length(); ++index) {
    const std::string path = Napi::Value(paths[index]).As<Napi::String>();
    if (dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
      const char* reason = dlerror();
      throw Napi::Error::New(env, reason != nullptr ? reason : "dlopen failed: " + path);
    }
  }
  return env.Undefined();
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  exports.Set("open", Napi::Function::New(env, open, "open"));
  return exports;
}

}  // namespace

NODE_API_MODULE(loader, initialise)
