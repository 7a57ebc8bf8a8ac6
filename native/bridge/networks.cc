#include <algorithm>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "bridge/arguments.h"
#include "bridge/functions.h"
#include "bridge/handles.h"
#include "bridge/promise.h"
#include "bridge/specifications.h"
#include "layers/numerics.h"
#include "models/torchscript.h"

namespace transfer_limits::functions {
namespace {

std::shared_ptr<PlacedNetwork> network_of(const Napi::Value& value) {
  return NetworkHandle::get(Environment::of(value.Env())->classes().network, value, "network");
}

struct NamedTensor {
  std::string name;
  at::Tensor tensor;
  bool buffer;
  std::optional<bool> by_rule = {};  // of a TorchScript module: how it is drawn
};

// Parameters and buffers in the order in which the published code lists them: each module's own, then its children's.
void collect(const torch::nn::Module& module, const std::string& prefix, std::vector<NamedTensor>& result) {
  const auto* script = dynamic_cast<const ScriptSlots*>(&module);
  for (const auto& item : module.named_parameters(/*recurse=*/false)) {
    result.push_back({prefix + item.key(), item.value(), false});
    if (script != nullptr) result.back().by_rule = script->by_rule().at(item.key());
  }
  for (const auto& item : module.named_buffers(/*recurse=*/false)) {
    result.push_back({prefix + item.key(), item.value(), true});
  }
  for (const auto& child : module.named_children())
    collect(*child.value(), prefix + child.key() + ".", result);
}

std::vector<NamedTensor> collect(const torch::nn::Module& module) {
  std::vector<NamedTensor> result;
  collect(module, "", result);
  return result;
}

// What is for a network, where it is and as it computes.
at::Tensor for_network(const PlacedNetwork& placed, const Napi::Value& value, const char* name,
                       const char* described) {
  at::Tensor tensor = TensorHandle::get(value, name);
  require(tensor.device() == placed.device, "Expected ", described, " on ", placed.device.str(),
          ", where the network is, but received one on ", tensor.device().str());
  require(tensor.scalar_type() == placed.type, "Expected ", dtype_name(placed.type), " for ", described,
          " but received ", dtype_name(tensor.scalar_type()));
  return tensor;
}

// Volumes, or slices and perhaps their position.
struct Input {
  at::Tensor tensor;
  at::Tensor position;
  bool slices;
};

// The second argument is the input, the one after it its position.
Input read_input(const Napi::CallbackInfo& info, const PlacedNetwork& placed) {
  Input input;
  input.tensor = for_network(placed, info[1], "input", "the input");
  require(input.tensor.dim() == 4 || input.tensor.dim() == 5,
          "Expected an input [N, C, D, H, W], or slices [N, C, H, W], but received ", input.tensor.sizes());
  input.slices = input.tensor.dim() == 4;
  const Napi::Value position = info[2];
  if (!position.IsNull() && !position.IsUndefined()) {
    input.position = for_network(placed, position, "position", "the position");
    require(input.slices, "Expected slices [N, C, H, W] where a position is given but received ",
            input.tensor.sizes());
  }
  return input;
}

// Counts stay what they are.
void set_type(torch::nn::Module& module, at::ScalarType type) {
  for (const std::vector<at::Tensor>& tensors : {module.parameters(), module.buffers()}) {
    for (const at::Tensor& tensor : tensors)
      if (tensor.is_floating_point()) tensor.set_data(tensor.detach().to(type));
  }
}

// A promise of what `compute(network)` answers, in evaluation and without gradients.
template <typename Compute, typename Convert>
Napi::Value evaluated(Napi::Env env, const std::shared_ptr<PlacedNetwork>& placed, Precision precision,
                      Compute compute, Convert convert) {
  return promise(
      env, placed->device,
      [placed, precision, compute = std::move(compute)] {
        const torch::NoGradGuard no_grad;
        const Autocast autocast(precision, placed->device);
        const Tf32 tf32(precision);
        placed->network->eval();
        return compute(*placed->network);
      },
      std::move(convert));
}

// A promise of the network's answer `answer(network, inputs)` in float32, with the precision and the wish to record it as
// the call's fourth and fifth argument.
template <typename Answer>
Napi::Value answered(const Napi::CallbackInfo& info, const std::shared_ptr<PlacedNetwork>& placed,
                     RecordedAnswers::Kind kind, std::vector<at::Tensor> inputs, Answer answer) {
  const Precision precision = read_precision(info[3]);
  const bool recorded = info[4].ToBoolean();
  return evaluated(
      info.Env(), placed, precision,
      [placed, precision, recorded, kind, inputs = std::move(inputs), answer](Network& network) {
        const auto as_float32 = [&network, &answer](const std::vector<at::Tensor>& given) {
          return in_float32(answer(network, given)).contiguous();
        };
        return recorded ? placed->recorded.run(network, kind, precision, inputs, as_float32)
                        : as_float32(inputs);
      },
      &TensorHandle::create);
}

Napi::Value features_object(Napi::Env env, const Features& features) {
  auto result = Napi::Object::New(env);
  auto stages = Napi::Array::New(env);
  for (const at::Tensor& stage : features.stages)
    stages.Set(stages.Length(), TensorHandle::create(env, stage));
  result.Set("pooled", TensorHandle::create(env, features.pooled));
  result.Set("stages", stages);
  auto along = Napi::Array::New(env);
  for (const PooledDepth& depth : features.along) {
    auto pooled = Napi::Object::New(env);
    pooled.Set("mean", TensorHandle::create(env, depth.mean));
    pooled.Set("maximum", TensorHandle::create(env, depth.maximum));
    if (depth.cls.defined()) pooled.Set("cls", TensorHandle::create(env, depth.cls));
    along.Set(along.Length(), pooled);
  }
  result.Set("along", along);
  if (features.tokens) {
    auto tokens = Napi::Object::New(env);
    tokens.Set("cls", TensorHandle::create(env, features.tokens->cls));
    tokens.Set("patches", TensorHandle::create(env, features.tokens->patches));
    tokens.Set("axis", TensorHandle::create(env, features.tokens->axis));
    result.Set("tokens", tokens);
  }
  return result;
}

}  // namespace

Napi::Value network_create(const Napi::CallbackInfo& info) {
  const NetworkSpecification specification = read_network(info[0]);
  const std::optional<IntensityBins> bins = read_bins(info[0]);
  const torch::Device device = device_named(text(info[1], "device"));
  const auto seed = uint64_t(integer(info[2], "seed"));
  const at::ScalarType type = dtype(info[3], "dtype");
  require(type == at::kFloat || type == at::kDouble, "Expected float32 or float64 for dtype but received ",
          dtype_name(type));
  return promise(
      info.Env(), device,
      [specification, bins, device, seed, type] {
        // Weights are drawn on the host and in float32, so that a seed means the same network everywhere.
        torch::manual_seed(seed);
        auto network = build_network(specification, bins);
        network->to(device);
        if (type != at::kFloat) set_type(*network, type);
        network->eval();
        return std::make_shared<PlacedNetwork>(PlacedNetwork{network, device, type});
      },
      [](Napi::Env env, std::shared_ptr<PlacedNetwork> network) {
        return Napi::Value(
            NetworkHandle::create(env, Environment::of(env)->classes().network, std::move(network)));
      });
}

Napi::Value network_parameters(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto result = Napi::Array::New(env);
  for (const NamedTensor& item : collect(*network_of(info[0])->network)) {
    auto entry = Napi::Object::New(env);
    entry.Set("name", item.name);
    entry.Set("shape", to_array(env, item.tensor.sizes().vec()));
    entry.Set("dtype", dtype_name(item.tensor.scalar_type()));
    entry.Set("buffer", item.buffer);
    if (item.by_rule) entry.Set("drawn", *item.by_rule ? "by-rule" : "shuffled");
    result.Set(result.Length(), entry);
  }
  return result;
}

// The second argument names those that are wanted, or is null.
Napi::Value network_state(const Napi::CallbackInfo& info) {
  const auto placed = network_of(info[0]);
  std::optional<std::unordered_set<std::string>> wanted;
  if (!info[1].IsNull()) {
    const std::vector<std::string> names = texts(info[1], "names");
    wanted.emplace(names.begin(), names.end());
  }
  return promise(
      info.Env(), placed->device,
      [placed, wanted] {
        std::vector<NamedTensor> state = collect(*placed->network);
        if (wanted) {
          std::erase_if(state, [&wanted](const NamedTensor& item) { return !wanted->contains(item.name); });
        }
        const torch::NoGradGuard no_grad;
        for (NamedTensor& item : state) item.tensor = item.tensor.clone(at::MemoryFormat::Contiguous);
        return state;
      },
      [](Napi::Env env, const std::vector<NamedTensor>& state) {
        auto result = Napi::Array::New(env);
        for (const NamedTensor& item : state) {
          auto entry = Napi::Object::New(env);
          entry.Set("name", item.name);
          entry.Set("tensor", TensorHandle::create(env, item.tensor));
          result.Set(result.Length(), entry);
        }
        return Napi::Value(result);
      });
}

Napi::Value network_assign(const Napi::CallbackInfo& info) {
  const auto placed = network_of(info[0]);
  const std::vector<std::string> names = texts(info[1], "names");
  const std::vector<at::Tensor> list = tensors(info[2], "tensors");
  require(names.size() == list.size(), "Expected as many names as tensors, but received ", names.size(),
          " and ", list.size());
  return promise(
      info.Env(), placed->device,
      [placed, names, list] {
        std::unordered_map<std::string, at::Tensor> own;
        for (NamedTensor& item : collect(*placed->network)) own.emplace(item.name, item.tensor);
        // Everything is checked before anything is changed: a checkpoint is taken as a whole or not at all.
        for (size_t index = 0; index < names.size(); ++index) {
          const auto found = own.find(names[index]);
          if (found == own.end()) {
            throw Error("BAD_CHECKPOINT", "The network has no parameter named " + names[index]);
          }
          if (found->second.sizes() != list[index].sizes()) {
            std::ostringstream message;
            message << "Expected shape " << found->second.sizes() << " for " << names[index]
                    << " but received " << list[index].sizes();
            throw Error("BAD_CHECKPOINT", message.str());
          }
        }
        const torch::NoGradGuard no_grad;
        for (size_t index = 0; index < names.size(); ++index) own.at(names[index]).copy_(list[index]);
        return Nothing{};
      },
      &to_undefined);
}

// The fifth argument says whether what the encoder says at each of its depths is wanted too, of volumes alone.
Napi::Value network_embed(const Napi::CallbackInfo& info) {
  const auto placed = network_of(info[0]);
  const Input input = read_input(info, *placed);
  const bool along = info[4].ToBoolean();
  return evaluated(
      info.Env(), placed, read_precision(info[3]),
      [input, along](Network& network) {
        Features features = input.slices ? network.embed_slices(input.tensor, input.position)
                            : along      ? network.embed_along(input.tensor)
                                         : network.embed(input.tensor);
        features.pooled = in_float32(features.pooled);
        for (at::Tensor& stage : features.stages) stage = in_float32(stage).contiguous();
        if (features.tokens) {
          // Copies: a view of a few tokens would keep all of them.
          for (at::Tensor* part :
               {&features.tokens->cls, &features.tokens->patches, &features.tokens->axis}) {
            *part = in_float32(*part).clone(at::MemoryFormat::Contiguous);
          }
        }
        return features;
      },
      &features_object);
}

// The fifth argument of both says whether answers are recorded as CUDA graphs and played.
Napi::Value network_forward(const Napi::CallbackInfo& info) {
  const auto placed = network_of(info[0]);
  const Input input = read_input(info, *placed);
  std::vector<at::Tensor> inputs{input.tensor};
  if (input.position.defined()) inputs.push_back(input.position);
  return answered(info, placed, RecordedAnswers::Kind::kForward, std::move(inputs),
                  [slices = input.slices](Network& network, const std::vector<at::Tensor>& given) {
                    return slices
                               ? network.forward_slices(given[0], given.size() > 1 ? given[1] : at::Tensor())
                               : network.forward(given[0]);
                  });
}

Napi::Value network_decode(const Napi::CallbackInfo& info) {
  const auto placed = network_of(info[0]);
  const std::optional<Features> features = read_features(info[1], placed->type);
  require(features.has_value(), "Expected { pooled, stages } for the features but received none");
  const at::Tensor input = for_network(*placed, info[2], "input", "the input");
  require(input.dim() == 5, "Expected a volume [N, C, D, H, W] to decode but received ", input.sizes());
  std::vector<at::Tensor> inputs{input, features->pooled};
  inputs.insert(inputs.end(), features->stages.begin(), features->stages.end());
  return answered(info, placed, RecordedAnswers::Kind::kDecode, std::move(inputs),
                  [](Network& network, const std::vector<at::Tensor>& given) {
                    const Features known{given[1], {given.begin() + 2, given.end()}, std::nullopt};
                    return network.decode(known, given[0]);
                  });
}

Napi::Value network_embedded(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), double(network_of(info[0])->network->embedded()));
}

Napi::Value network_project(const Napi::CallbackInfo& info) {
  const auto placed = network_of(info[0]);
  const at::Tensor features = for_network(*placed, info[1], "features", "the features");
  return evaluated(
      info.Env(), placed, Precision::kFloat32,
      [features](Network& network) { return network.project(features).contiguous(); }, &TensorHandle::create);
}

}  // namespace transfer_limits::functions
