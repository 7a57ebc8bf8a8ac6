// Single kernels, for the tests that compare them with references and for `bench`.
#include "bridge/arguments.h"
#include "bridge/functions.h"
#include "bridge/handles.h"
#include "bridge/promise.h"
#include "kernels/depthwise_conv3d.h"
#include "layers/channels_last.h"
#include "layers/conv3d.h"
#include "layers/grn_perceptron.h"
#include "layers/group_norm.h"
#include "layers/linear.h"
#include "layers/patch_conv3d.h"

namespace transfer_limits::functions {
namespace {

Napi::Value to_handles(Napi::Env env, const std::vector<at::Tensor>& tensors) {
  auto result = Napi::Array::New(env, tensors.size());
  for (size_t index = 0; index < tensors.size(); ++index) {
    result.Set(uint32_t(index), TensorHandle::create(env, tensors[index]));
  }
  return result;
}

// The same values in another layout of memory.
at::Tensor contiguous(const at::Tensor& tensor) { return tensor.contiguous(); }

at::Tensor channels_last(const at::Tensor& tensor) {
  require(tensor.dim() == 5, "Expected [N, C, D, H, W] for a channels-last tensor but received ",
          tensor.sizes());
  return tensor.contiguous(at::MemoryFormat::ChannelsLast3d);
}

// Part of a larger tensor.
at::Tensor strided(const at::Tensor& tensor) {
  std::vector<int64_t> sizes = tensor.sizes().vec();
  for (int64_t& size : sizes) size = 2 * size + 1;
  at::Tensor part = at::empty(sizes, tensor.options());
  for (int64_t axis = 0; axis < tensor.dim(); ++axis) {
    part = part.slice(axis, /*start=*/1, /*end=*/2 * tensor.size(axis) + 1, /*step=*/2);
  }
  return part.copy_(tensor);
}

// What `compute(leaves)` answers, or the gradients of those leaves that are there.
template <typename Compute>
std::vector<at::Tensor> answer_or_gradients(const std::vector<at::Tensor>& given, const at::Tensor& gradient,
                                            const Compute& compute) {
  const torch::AutoGradMode mode(gradient.defined());
  std::vector<at::Tensor> all, leaves;
  for (const at::Tensor& tensor : given) {
    all.push_back(tensor.defined() ? tensor.detach().requires_grad_(gradient.defined()) : tensor);
    if (tensor.defined()) leaves.push_back(all.back());
  }
  const at::Tensor output = compute(all);
  return gradient.defined() ? torch::autograd::grad({output}, leaves, {gradient})
                            : std::vector<at::Tensor>{output};
}

}  // namespace

Napi::Value kernel_arrange(const Napi::CallbackInfo& info) {
  const at::Tensor tensor = TensorHandle::get(info[0], "tensor");
  const auto arranged = word<at::Tensor (*)(const at::Tensor&)>(
      info[1], "layout",
      {{"contiguous", &contiguous}, {"channels-last", &channels_last}, {"strided", &strided}});
  return promise(
      info.Env(), tensor.device(), [tensor, arranged] { return arranged(tensor); }, &TensorHandle::create);
}

Napi::Value kernel_depthwise_conv3d(const Napi::CallbackInfo& info) {
  const at::Tensor input = TensorHandle::get(info[0], "input");
  const at::Tensor weight = TensorHandle::get(info[1], "weight");
  const at::Tensor bias = TensorHandle::get(info[2], "bias");
  const at::Tensor gradient = info[3].IsNull() ? at::Tensor() : TensorHandle::get(info[3], "gradOutput");
  const at::ScalarType type = dtype(info[4], "dtype");
  return promise(
      info.Env(), input.device(),
      [input, weight, bias, gradient, type] {
        const at::Tensor x = input.to(type), w = weight.to(type);
        std::vector<at::Tensor> answers;
        if (!gradient.defined()) {
          answers = {depthwise_conv3d(x, w, bias.to(type))};
        } else {
          const at::Tensor g = gradient.to(type);
          const auto [to_weight, to_bias] = depthwise_conv3d_weight_gradient(g, x, w.size(-1));
          answers = {depthwise_conv3d_input_gradient(g, w), to_weight, to_bias};
        }
        for (at::Tensor& answer : answers) answer = answer.to(input.scalar_type());
        return answers;
      },
      &to_handles);
}

Napi::Value kernel_linear(const Napi::CallbackInfo& info) {
  const at::Tensor input = TensorHandle::get(info[0], "input");
  const at::Tensor weight = TensorHandle::get(info[1], "weight");
  const at::Tensor bias = TensorHandle::get(info[2], "bias");
  const at::Tensor gradient = info[3].IsNull() ? at::Tensor() : TensorHandle::get(info[3], "gradOutput");
  const bool gelu = info[4].ToBoolean();
  require(weight.dim() == 2 && input.dim() >= 2 && input.size(-1) == weight.size(1) &&
              bias.sizes() == at::IntArrayRef({weight.size(0)}),
          "Expected an input [..., K], a weight [M, K] and a bias [M] but received ", input.sizes(), ", ",
          weight.sizes(), " and ", bias.sizes());
  return promise(
      info.Env(), input.device(),
      [input, weight, bias, gradient, gelu] {
        return answer_or_gradients({input, weight, bias}, gradient, [gelu](const auto& leaves) {
          return gelu ? linear_gelu(leaves[0], leaves[1], leaves[2])
                      : linear(leaves[0], leaves[1], leaves[2]);
        });
      },
      &to_handles);
}

Napi::Value kernel_grn_perceptron(const Napi::CallbackInfo& info) {
  const at::Tensor input = TensorHandle::get(info[0], "input");
  const std::vector<at::Tensor> parameters = tensors(info[1], "parameters");
  require(parameters.size() == 6, "Expected six parameters but received ", parameters.size());
  require(input.dim() == 5, "Expected an input [N, D, H, W, C] but received ", input.sizes());
  const at::Tensor keep = info[2].IsNull() ? at::Tensor() : TensorHandle::get(info[2], "keep");
  const at::Tensor gradient = info[3].IsNull() ? at::Tensor() : TensorHandle::get(info[3], "gradOutput");
  return promise(
      info.Env(), input.device(),
      [input, parameters, keep, gradient] {
        std::vector<at::Tensor> given{input};
        given.insert(given.end(), parameters.begin(), parameters.end());
        return answer_or_gradients(given, gradient, [&keep](const auto& leaves) {
          return grn_perceptron(leaves[0], {leaves[1], leaves[2], leaves[3], leaves[4], leaves[5], leaves[6]},
                                keep);
        });
      },
      &to_handles);
}

Napi::Value kernel_conv3d_same(const Napi::CallbackInfo& info) {
  const at::Tensor input = TensorHandle::get(info[0], "input");
  const at::Tensor weight = TensorHandle::get(info[1], "weight");
  const at::Tensor gradient = info[2].IsNull() ? at::Tensor() : TensorHandle::get(info[2], "gradOutput");
  require(input.dim() == 5 && weight.dim() == 5 && weight.size(1) == input.size(1) &&
              weight.size(2) % 2 == 1 && weight.size(2) == weight.size(3) && weight.size(2) == weight.size(4),
          "Expected an input [N, C, D, H, W] and a weight [O, C, k, k, k] of an odd k but received ",
          input.sizes(), " and ", weight.sizes());
  return promise(
      info.Env(), input.device(),
      [input, weight, gradient] {
        return answer_or_gradients({channels_last(input), weight}, gradient,
                                   [](const auto& leaves) { return conv3d_same(leaves[0], leaves[1]); });
      },
      &to_handles);
}

Napi::Value kernel_patch_conv3d(const Napi::CallbackInfo& info) {
  const at::Tensor input = TensorHandle::get(info[0], "input");
  const at::Tensor weight = TensorHandle::get(info[1], "weight");
  const bool spreads = info[2].As<Napi::Boolean>().Value();
  const at::Tensor gradient = info[3].IsNull() ? at::Tensor() : TensorHandle::get(info[3], "gradOutput");
  require(input.dim() == 5 && weight.dim() == 5 && weight.size(spreads ? 0 : 1) == input.size(1),
          "Expected an input [N, C, D, H, W] and a weight of its channels but received ", input.sizes(),
          " and ", weight.sizes());
  return promise(
      info.Env(), input.device(),
      [input, weight, spreads, gradient] {
        return answer_or_gradients({input, weight}, gradient, [spreads](const auto& leaves) {
          return spreads ? spread_voxels(leaves[0], leaves[1]) : patch_conv3d(leaves[0], leaves[1], {});
        });
      },
      &to_handles);
}

Napi::Value kernel_group_norm(const Napi::CallbackInfo& info) {
  // An input, and beside it weight, bias and residual, each of which may be left out.
  std::vector<at::Tensor> given(4);
  for (size_t index = 0; index < given.size(); ++index) {
    if (!info[index].IsNull()) given[index] = TensorHandle::get(info[index], "tensor");
  }
  const int64_t groups = integer(info[4], "groups");
  const auto after = word<AfterNorm>(
      info[5], "activation",
      {{"none", AfterNorm::kNone}, {"leaky-relu", AfterNorm::kLeakyRelu}, {"silu", AfterNorm::kSilu}});
  const at::Tensor gradient = info[6].IsNull() ? at::Tensor() : TensorHandle::get(info[6], "gradOutput");
  require(given[0].dim() == 5 && groups > 0 && given[0].size(1) % groups == 0,
          "Expected an input [N, C, D, H, W] of ", groups, " groups of channels but received ",
          given[0].sizes());
  return promise(
      info.Env(), given[0].device(),
      [given, groups, after, gradient] {
        return answer_or_gradients(given, gradient, [groups, after](const auto& all) {
          return group_norm(all[0], groups, all[1], all[2], after, all[3]);
        });
      },
      &to_handles);
}

}  // namespace transfer_limits::functions
