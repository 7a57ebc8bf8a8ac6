#include "bridge/arguments.h"
#include "bridge/functions.h"
#include "bridge/handles.h"
#include "bridge/promise.h"
#include "transfer.h"
#include "volumes/statistics.h"

namespace transfer_limits::functions {
namespace {

at::ScalarType type_of(const Napi::TypedArray& array) {
  switch (array.TypedArrayType()) {
    case napi_float32_array:
      return at::kFloat;
    case napi_float64_array:
      return at::kDouble;
    case napi_bigint64_array:
      return at::kLong;
    case napi_uint8_array:
      return at::kByte;
    default:
      throw Error("BAD_INPUT", "Expected a Float32Array, Float64Array, BigInt64Array or Uint8Array for data");
  }
}

// The handle of a tensor that `work` makes from tensor argument 0.
template <typename Work>
Napi::Value transform(const Napi::CallbackInfo& info, Work work) {
  const at::Tensor tensor = TensorHandle::get(info[0], "tensor");
  return promise(
      info.Env(), tensor.device(), [tensor, work] { return at::Tensor(work(tensor)); },
      &TensorHandle::create);
}

}  // namespace

Napi::Value tensor_from(const Napi::CallbackInfo& info) {
  if (!info[0].IsTypedArray()) throw Error("BAD_INPUT", "Expected a typed array for data");
  const auto array = info[0].As<Napi::TypedArray>();
  const at::ScalarType type = type_of(array);
  const std::vector<int64_t> shape = integers(info[1], "shape");
  const torch::Device device = device_named(text(info[2], "device"));
  int64_t count = 1;
  for (const int64_t size : shape) {
    require(size >= 0, "Expected sizes of at least 0 for shape but received ", size);
    count *= size;
  }
  require(count == int64_t(array.ElementLength()), "Expected ", count, " elements for data but received ",
          array.ElementLength());
  if (info[3].ToBoolean()) {
    const std::optional<at::Tensor> under = tensor_under(array);
    if (under && under->scalar_type() == type) {
      return TensorHandle::create(info.Env(), under->view(shape).to(device));
    }
  }
  at::Tensor tensor = at::empty(shape, type);
  if (count > 0) {
    const auto* bytes = static_cast<const uint8_t*>(array.ArrayBuffer().Data()) + array.ByteOffset();
    std::memcpy(tensor.data_ptr(), bytes, array.ByteLength());
  }
  return TensorHandle::create(info.Env(), moved_to(tensor, device));
}

Napi::Value tensor_share(const Napi::CallbackInfo& info) {
  return TensorHandle::create(info.Env(), TensorHandle::get(info[0], "tensor"));
}

Napi::Value tensor_to_array(const Napi::CallbackInfo& info) {
  const at::Tensor tensor = TensorHandle::get(info[0], "tensor");
  return promise(
      info.Env(), tensor.device(),
      [tensor] { return tensor.to(torch::kCPU, tensor.scalar_type(), false, /*copy=*/true).contiguous(); },
      &to_typed_array);
}

Napi::Value tensor_gather(const Napi::CallbackInfo& info) {
  const std::vector<at::Tensor> bank = tensors(info[0], "bank");
  const std::vector<int64_t> indices = integers(info[1], "indices");
  require(!indices.empty(), "Expected at least one index for gather but received none");
  std::vector<at::Tensor> chosen;
  for (const int64_t index : indices) {
    require(index >= 0 && index < int64_t(bank.size()), "Expected indices below ", bank.size(),
            " but received ", index);
    const at::Tensor& tensor = bank[size_t(index)];
    const at::Tensor& first = bank[size_t(indices[0])];
    require(tensor.sizes() == first.sizes() && tensor.scalar_type() == first.scalar_type() &&
                tensor.device() == first.device(),
            "Expected tensors of one shape, type and device for gather, but received ",
            dtype_name(first.scalar_type()), " ", first.sizes(), " on ", first.device().str(), " and ",
            dtype_name(tensor.scalar_type()), " ", tensor.sizes(), " on ", tensor.device().str());
    chosen.push_back(tensor);
  }
  return promise(
      info.Env(), chosen[0].device(), [chosen] { return at::stack(chosen); }, &TensorHandle::create);
}

Napi::Value tensor_pool_depth(const Napi::CallbackInfo& info) {
  const int64_t factor = integer(info[1], "factor");
  const bool mean = word<bool>(info[2], "method", {{"mean", true}, {"first", false}});
  return transform(info, [factor, mean](const at::Tensor& tensor) {
    require(tensor.dim() >= 3, "Expected a volume [..., D, H, W] but received ", tensor.sizes());
    if (mean) require_type(tensor, "the volume whose slices are averaged", {at::kFloat, at::kDouble});
    require(factor >= 1 && tensor.size(-3) % factor == 0,
            "Expected a number of slices that is a multiple of ", factor, " but received ", tensor.size(-3));
    std::vector<int64_t> shape = tensor.sizes().vec();
    const size_t depth = shape.size() - 3;
    shape[depth] /= factor;
    shape.insert(shape.begin() + std::ptrdiff_t(depth) + 1, factor);
    const at::Tensor groups = tensor.reshape(shape);  // [..., D / factor, factor, H, W]
    return (mean ? groups.mean(-3) : groups.select(-3, 0)).contiguous();
  });
}

Napi::Value tensor_threshold(const Napi::CallbackInfo& info) {
  const double value = number(info[1], "value");
  return transform(info, [value](const at::Tensor& tensor) { return tensor.gt(value).to(at::kFloat); });
}

Napi::Value tensor_select(const Napi::CallbackInfo& info) {
  const int64_t axis = integer(info[1], "axis");
  const int64_t index = integer(info[2], "index");
  return transform(info, [axis, index](const at::Tensor& tensor) {
    require(axis >= 0 && axis < tensor.dim(), "Expected an axis below ", tensor.dim(), " but received ",
            axis);
    require(index >= 0 && index < tensor.size(axis), "Expected an index below ", tensor.size(axis),
            " but received ", index);
    return tensor.select(axis, index).clone(at::MemoryFormat::Contiguous);
  });
}

Napi::Value tensor_count_not_finite(const Napi::CallbackInfo& info) {
  const at::Tensor tensor = TensorHandle::get(info[0], "tensor");
  return promise(
      info.Env(), tensor.device(),
      [tensor] {
        const at::Tensor dense = tensor.cpu().contiguous();
        return volumes::count_not_finite(dense.const_data_ptr(), dense.numel(), dense.scalar_type());
      },
      [](Napi::Env env, int64_t count) { return Napi::Value(Napi::Number::New(env, double(count))); });
}

Napi::Value tensor_slice_sums(const Napi::CallbackInfo& info) {
  const at::Tensor tensor = TensorHandle::get(info[0], "tensor");
  require(tensor.dim() == 3, "Expected a volume [D, H, W] but received ", tensor.sizes());
  return promise(
      info.Env(), tensor.device(),
      [tensor] {
        const at::Tensor sums = tensor.to(at::kDouble).sum({1, 2}).cpu();
        return std::vector<double>(sums.data_ptr<double>(), sums.data_ptr<double>() + sums.numel());
      },
      [](Napi::Env env, const std::vector<double>& sums) { return Napi::Value(to_array(env, sums)); });
}

}  // namespace transfer_limits::functions
