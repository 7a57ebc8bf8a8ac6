#include "bridge/handles.h"

#include "bridge/arguments.h"
#include "bridge/errors.h"

namespace transfer_limits {

std::atomic<int64_t> TensorHandle::live_ = 0;

Napi::Function TensorHandle::define(Napi::Env env) {
  return DefineClass(env, "TensorHandle",
                     {InstanceMethod("dispose", &TensorHandle::dispose),
                      InstanceAccessor("shape", &TensorHandle::shape, nullptr),
                      InstanceAccessor("dtype", &TensorHandle::dtype, nullptr),
                      InstanceAccessor("device", &TensorHandle::device, nullptr),
                      InstanceAccessor("disposed", &TensorHandle::disposed, nullptr)});
}

Napi::Object TensorHandle::create(Napi::Env env, at::Tensor tensor) {
  return Environment::of(env)->classes().tensor.New({Napi::External<at::Tensor>::New(env, &tensor)});
}

TensorHandle::TensorHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<TensorHandle>(info) {
  if (info.Length() != 1 || !info[0].IsExternal()) {
    throw Napi::TypeError::New(info.Env(), "Tensors are made by Tensor.from and by the addon only");
  }
  tensor_ = info[0].As<Napi::External<at::Tensor>>().Data()->detach();
  shape_ = tensor_.sizes().vec();
  bytes_ = int64_t(tensor_.nbytes());
  ++live_;
  // Tells V8 what hangs on this small object, so that it collects forgotten tensors before memory is short.
  Napi::MemoryManagement::AdjustExternalMemory(info.Env(), bytes_);
}

TensorHandle::~TensorHandle() { release(); }

void TensorHandle::release() {
  if (!tensor_.defined()) return;
  tensor_.reset();
  --live_;
  Napi::MemoryManagement::AdjustExternalMemory(Env(), -bytes_);
}

at::Tensor TensorHandle::get(const Napi::Value& value, const char* name) {
  if (!value.IsObject() ||
      !value.As<Napi::Object>().InstanceOf(Environment::of(value.Env())->classes().tensor.Value())) {
    throw Error("BAD_INPUT",
                std::string("Expected a Tensor for ") + name + " but received " + describe(value));
  }
  const auto* handle = Unwrap(value.As<Napi::Object>());
  if (!handle->tensor_.defined()) {
    std::ostringstream message;
    message << "The tensor " << name << " " << at::IntArrayRef(handle->shape_)
            << " was disposed before this call";
    throw Error("DISPOSED", message.str());
  }
  return handle->tensor_;
}

Napi::Value TensorHandle::shape(const Napi::CallbackInfo& info) { return to_array(info.Env(), shape_); }

Napi::Value TensorHandle::dtype(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return Napi::String::New(info.Env(), dtype_name(get(info.This(), "this").scalar_type()));
  });
}

Napi::Value TensorHandle::device(const Napi::CallbackInfo& info) {
  return guarded(info.Env(),
                 [&] { return Napi::String::New(info.Env(), get(info.This(), "this").device().str()); });
}

Napi::Value TensorHandle::disposed(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), !tensor_.defined());
}

void TensorHandle::dispose(const Napi::CallbackInfo&) { release(); }

namespace {

// Marks the ArrayBuffers that to_typed_array made, which carry their tensor: nobody else's carry one.
constexpr napi_type_tag kTensorMemory = {0x6d1b'f0c2'97a4'4e35, 0x9b02'5f7d'c8e1'3a46};

void check(Napi::Env env, napi_status status) {
  if (status != napi_ok) throw Napi::Error::New(env);
}

}  // namespace

Napi::Value to_typed_array(Napi::Env env, const at::Tensor& tensor) {
  const auto count = size_t(tensor.numel());
  // The array takes the memory over: nothing is copied on the JavaScript thread.
  auto* owner = new at::Tensor(tensor);
  void* data = count > 0 ? tensor.data_ptr() : nullptr;
  Napi::ArrayBuffer buffer;
  if (count > 0) {
    buffer = Napi::ArrayBuffer::New(env, data, tensor.nbytes(), [owner](Napi::Env, void*) { delete owner; });
    const auto forget = [](napi_env, void* kept, void*) { delete static_cast<at::Tensor*>(kept); };
    check(env, napi_wrap(env, buffer, new at::Tensor(tensor), forget, nullptr, nullptr));
    check(env, napi_type_tag_object(env, buffer, &kTensorMemory));
  } else {
    delete owner;
    buffer = Napi::ArrayBuffer::New(env, 0);
  }
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return Napi::Float32Array::New(env, count, buffer, 0);
    case at::kDouble:
      return Napi::Float64Array::New(env, count, buffer, 0);
    case at::kLong:
      return Napi::BigInt64Array::New(env, count, buffer, 0);
    default:
      return Napi::Uint8Array::New(env, count, buffer, 0);
  }
}

std::optional<at::Tensor> tensor_under(const Napi::TypedArray& array) {
  const Napi::Env env = array.Env();
  Napi::ArrayBuffer buffer = array.ArrayBuffer();
  bool ours = false;
  check(env, napi_check_object_type_tag(env, buffer, &kTensorMemory, &ours));
  if (!ours) return std::nullopt;
  void* kept = nullptr;
  check(env, napi_unwrap(env, buffer, &kept));
  const at::Tensor& tensor = *static_cast<at::Tensor*>(kept);
  // A buffer that was transferred elsewhere is empty, and an array may be a part of one.
  if (array.ByteOffset() != 0 || array.ByteLength() != tensor.nbytes() ||
      buffer.Data() != tensor.data_ptr()) {
    return std::nullopt;
  }
  return tensor;
}

}  // namespace transfer_limits
