#include "bridge/arguments.h"
#include "bridge/functions.h"
#include "bridge/handles.h"
#include "bridge/promise.h"
#include "kernels/philox_normal.h"

// Elementwise arithmetic that sampling from a diffusion model is made of.
namespace transfer_limits::functions {

Napi::Value tensor_normal(const Napi::CallbackInfo& info) {
  const std::vector<int64_t> shape = integers(info[0], "shape");
  const int64_t seed = integer(info[1], "seed");
  const torch::Device device = device_named(text(info[2], "device"));
  for (const int64_t size : shape)
    require(size >= 0, "Expected sizes of at least 0 for shape but received ", size);
  return promise(
      info.Env(), device, [shape, seed, device] { return philox_normal(shape, uint64_t(seed), device); },
      &TensorHandle::create);
}

Napi::Value tensor_combine(const Napi::CallbackInfo& info) {
  const std::vector<at::Tensor> terms = tensors(info[0], "tensors");
  const std::vector<double> weights = numbers(info[1], "weights");
  require(!terms.empty(), "Expected at least one tensor to combine but received none");
  require(weights.size() == terms.size(), "Expected ", terms.size(), " weights but received ",
          weights.size());
  for (const at::Tensor& term : terms) {
    require_type(term, "the tensors to combine", {at::kFloat, at::kDouble});
    require(term.sizes() == terms[0].sizes() && term.scalar_type() == terms[0].scalar_type() &&
                term.device() == terms[0].device(),
            "Expected tensors of one shape, type and device to combine, but received ",
            dtype_name(terms[0].scalar_type()), " ", terms[0].sizes(), " and ",
            dtype_name(term.scalar_type()), " ", term.sizes());
  }
  return promise(
      info.Env(), terms[0].device(),
      [terms, weights] {
        at::Tensor sum = terms[0] * weights[0];
        for (size_t i = 1; i < terms.size(); ++i) sum.add_(terms[i], weights[i]);
        return sum.contiguous();
      },
      &TensorHandle::create);
}

Napi::Value tensor_clamp(const Napi::CallbackInfo& info) {
  const at::Tensor tensor = TensorHandle::get(info[0], "tensor");
  const double low = number(info[1], "low");
  const double high = number(info[2], "high");
  require_type(tensor, "the tensor to clamp", {at::kFloat, at::kDouble});
  require(low <= high, "Expected low <= high to clamp but received ", low, " and ", high);
  return promise(
      info.Env(), tensor.device(), [tensor, low, high] { return tensor.clamp(low, high).contiguous(); },
      &TensorHandle::create);
}

}  // namespace transfer_limits::functions
