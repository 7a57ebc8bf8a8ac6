#include "models/torchscript.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/Generator.h>
#include <caffe2/serialize/read_adapter_interface.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>

#include <cmath>
#include <cstring>
#include <regex>
#include <unordered_set>
#include <utility>

#include "layers/deterministic.h"
#include "layers/padding.h"
#include "models/families.h"

namespace transfer_limits {

// The module, and tensors of it that are neither parameters nor buffers of a type that files of weights hold.
struct ScriptModule {
  torch::jit::Module root;
  std::vector<at::Tensor> others;
};

namespace {

// A file that was read and hashed before, for LibTorch to take the same bytes from.
class BytesInMemory : public caffe2::serialize::ReadAdapterInterface {
 public:
  explicit BytesInMemory(std::shared_ptr<const std::string> bytes) : bytes_(std::move(bytes)) {}
  size_t size() const override { return bytes_->size(); }
  size_t read(uint64_t position, void* buffer, size_t count, const char* /*what*/) const override {
    if (position >= bytes_->size()) return 0;
    const size_t there = std::min(count, bytes_->size() - size_t(position));
    std::memcpy(buffer, bytes_->data() + position, there);
    return there;
  }

 private:
  std::shared_ptr<const std::string> bytes_;
};

// The last line of what an interpreter says of a failure, where its reason stands, and not the traceback before it.
std::string reason_of(const std::string& message) {
  std::string text = message.substr(0, message.find_last_not_of(" \n") + 1);
  const size_t line = text.rfind('\n');
  if (line != std::string::npos) text = text.substr(line + 1);
  return text.substr(0, 400);
}

// What has a meaning beyond the module, such as memory that is exhausted, goes on as what it was before the interpreter
// wrapped it.
void rethrow_known(const std::string& message) {
  for (const char* words : {"you tried to allocate", "CUDA out of memory", "CUDA error: out of memory"}) {
    if (message.find(words) != std::string::npos) C10_THROW_ERROR(OutOfMemoryError, reason_of(message));
  }
  TORCH_CHECK(message.find("does not have a deterministic implementation") == std::string::npos, message);
}

// The name of a module's class, such as Conv3d: the last part, whatever it was mangled to.
std::string class_of(const torch::jit::Module& module) {
  return module.type()->name() ? module.type()->name()->name() : "";
}

bool is_batch_norm_class(const std::string& name) {
  static const std::regex pattern("BatchNorm");
  return std::regex_search(name, pattern);
}

// A drawing of one parameter as its module's class draws it when it is made; null where no rule is known for it.
using Rule = std::function<void(at::Tensor&, const at::Generator&)>;

Rule rule_for(const std::string& class_name, const std::string& parameter, const torch::jit::Module& module) {
  static const std::regex norm("(Batch|Layer|Group|Instance|RMS)Norm"), layer("(Conv|Linear)"),
      embedding("Embedding"), attention("MultiheadAttention");
  const bool is_bias = parameter == "bias";
  const bool is_weight = parameter == "weight";
  if (std::regex_search(class_name, norm)) {
    if (is_weight) return [](at::Tensor& tensor, const at::Generator&) { tensor.fill_(1.0); };
    if (is_bias) return [](at::Tensor& tensor, const at::Generator&) { tensor.zero_(); };
  } else if (std::regex_search(class_name, attention)) {
    if (parameter == "in_proj_bias") return [](at::Tensor& tensor, const at::Generator&) { tensor.zero_(); };
    if (parameter.find("_proj_weight") != std::string::npos)
      return [](at::Tensor& tensor, const at::Generator& generator) {
        const double bound = std::sqrt(6.0 / double(tensor.size(0) + tensor.size(1)));
        tensor.uniform_(-bound, bound, generator);
      };
  } else if (std::regex_search(class_name, layer)) {
    // PyTorch's own: uniform within one over the square root of the inputs of an output, weight and bias.
    if (!is_weight && !is_bias) return nullptr;
    if (!module.hasattr("weight") || !module.attr("weight").isTensor()) return nullptr;
    const at::Tensor weight = module.attr("weight").toTensor();
    if (weight.dim() < 2) return nullptr;
    const double bound = 1.0 / std::sqrt(double(std::max<int64_t>(1, weight[0].numel())));
    return [bound](at::Tensor& tensor, const at::Generator& generator) {
      tensor.uniform_(-bound, bound, generator);
    };
  } else if (std::regex_search(class_name, embedding) && is_weight) {
    return [](at::Tensor& tensor, const at::Generator& generator) { tensor.normal_(0.0, 1.0, generator); };
  }
  return nullptr;
}

void shuffle(at::Tensor& tensor, const at::Generator& generator) {
  const at::Tensor order = at::randperm(tensor.numel(), generator, at::TensorOptions(at::kLong));
  tensor.copy_(tensor.reshape({-1}).index_select(0, order).view_as(tensor));
}

// A traced module holds, as a constant, whether batch norm trained when it was traced. It then follows the module, as in a
// scripted one.
void let_batch_norm_follow_training(const torch::jit::Module& module) {
  if (!module.hasattr("training")) return;
  for (const torch::jit::Method& method : module.get_methods()) {
    const auto graph = method.graph();
    std::vector<torch::jit::Block*> blocks{graph->block()};
    while (!blocks.empty()) {
      torch::jit::Block* block = blocks.back();
      blocks.pop_back();
      for (torch::jit::Node* node : block->nodes()) {
        for (torch::jit::Block* inner : node->blocks()) blocks.push_back(inner);
        constexpr size_t kTraining = 5;  // batch_norm(input, weight, bias, mean, variance, training, ...)
        if (node->kind() != c10::aten::batch_norm || !torch::jit::toIValue(node->input(kTraining))) continue;
        const torch::jit::WithInsertPoint before(node);
        node->replaceInput(kTraining, graph->insertGetAttr(graph->inputs().at(0), "training"));
      }
    }
  }
}

void set_training(torch::jit::Module& module, bool on) {
  if (module.hasattr("training") && module.attr("training").isBool()) module.setattr("training", on);
}

// A submodule of the file.
class ScriptPart : public torch::nn::Module, public ScriptSlots {
 public:
  explicit ScriptPart(torch::jit::Module module) : module_(std::move(module)) {
    is_batch_norm_ = is_batch_norm_class(class_of(module_));
  }
  void train(bool on = true) override {
    torch::nn::Module::train(on);
    set_training(module_, on);
  }
  void set_by_rule(const std::string& name, bool by_rule) { by_rule_.emplace(name, by_rule); }

 private:
  torch::jit::Module module_;
};

// Registers what a file's module holds in the module of ours that stands for it.
class Mirror {
 public:
  // Without a generator, weights stay as the file has them.
  Mirror(std::optional<at::Generator> generator, std::vector<at::Tensor>& others)
      : generator_(std::move(generator)), others_(others) {}

  void fill(torch::nn::Module& own, std::unordered_map<std::string, bool>& by_rule,
            const torch::jit::Module& module) {
    let_batch_norm_follow_training(module);
    const std::string class_name = class_of(module);
    const auto type = module.type();
    for (size_t slot = 0; slot < type->numAttributes(); ++slot) {
      const c10::IValue value = module._ivalue()->getSlot(slot);
      const std::string& name = type->getAttributeName(slot);
      if (type->getAttribute(slot)->is_module()) {
        // A module that stands under two names is the same under both.
        if (!seen_.insert(value.toObject().get()).second) continue;
        const torch::jit::Module child(value.toObject());
        auto part = std::make_shared<ScriptPart>(child);
        std::unordered_map<std::string, bool> rules;
        fill(*part, rules, child);
        for (const auto& [parameter, rule] : rules) part->set_by_rule(parameter, rule);
        own.register_module(name, part);
      } else if (value.isTensor() && value.toTensor().defined()) {
        const at::Tensor& tensor = value.toTensor();
        if (!seen_.insert(tensor.unsafeGetTensorImpl()).second) continue;
        take(own, by_rule, module, class_name, name, tensor, type->is_parameter(slot));
      }
    }
  }
  int64_t parameters() const { return parameters_; }

 private:
  void take(torch::nn::Module& own, std::unordered_map<std::string, bool>& by_rule,
            const torch::jit::Module& module, const std::string& class_name, const std::string& name,
            at::Tensor tensor, bool is_parameter) {
    if (at::isReducedFloatingType(tensor.scalar_type()) || tensor.scalar_type() == at::kDouble)
      tensor.set_data(tensor.detach().to(at::kFloat));
    if (is_parameter && tensor.scalar_type() == at::kFloat) {
      Rule rule = rule_for(class_name, name, module);
      by_rule.emplace(name, rule != nullptr);
      if (generator_) {
        if (rule) {
          rule(tensor, *generator_);
        } else {
          shuffle(tensor, *generator_);
        }
      }
      own.register_parameter(name, tensor);
      ++parameters_;
      return;
    }
    if (generator_ && is_batch_norm_class(class_name)) {
      if (name == "running_mean" || name == "num_batches_tracked") tensor.zero_();
      if (name == "running_var") tensor.fill_(1);
    }
    const auto dtype = tensor.scalar_type();
    if (dtype == at::kFloat || dtype == at::kLong || dtype == at::kByte) {
      tensor.set_requires_grad(false);
      own.register_buffer(name, tensor);
    } else {
      others_.push_back(tensor);
    }
  }

  std::optional<at::Generator> generator_;
  std::vector<at::Tensor>& others_;
  std::unordered_set<const void*> seen_;
  int64_t parameters_ = 0;
};

int64_t divided(int64_t size, int64_t by) { return (size + by - 1) / by; }

// A map at other sizes: means of boxes where it becomes coarser, trilinear where it becomes finer.
at::Tensor brought_to(const at::Tensor& map, const std::array<int64_t, 3>& size) {
  std::array<int64_t, 3> coarser = size;
  for (size_t axis = 0; axis < 3; ++axis) coarser[axis] = std::min(size[axis], map.size(int64_t(axis) + 2));
  const at::Tensor smaller = map.sizes().slice(2) == at::IntArrayRef(coarser) ? map : box_means(map, coarser);
  return resize_to(smaller, size);
}

// What a value that is no tensor is, in words.
std::string kind_of(const c10::IValue& value) {
  if (value.isTensor()) return "a tensor";
  if (value.isTuple()) return "a tuple of " + std::to_string(value.toTupleRef().elements().size());
  if (value.isList()) return "a list of " + std::to_string(value.toListRef().size());
  return "a value of the type " + value.tagKind();
}

// The tensors of a list or tuple; of one tensor, that. Empty for anything else.
std::vector<at::Tensor> tensors_of(const c10::IValue& value) {
  std::vector<at::Tensor> result;
  if (value.isTensor()) return {value.toTensor()};
  if (value.isTensorList()) return value.toTensorVector();
  if (!value.isTuple() && !value.isList()) return {};
  const auto elements = value.isTuple() ? value.toTupleRef().elements().vec() : value.toListRef().vec();
  for (const c10::IValue& element : elements) {
    if (!element.isTensor()) return {};
    result.push_back(element.toTensor());
  }
  return result;
}

constexpr int64_t kMostStride = 256;

ScriptStage read_stage(const Settings& stage, bool slices) {
  ScriptStage result;
  result.channels = stage.integer("channels", 1, 65536);
  // One number stands for all axes; slices keep their depth.
  result.stride = stage.triple("stride", 1, kMostStride);
  if (slices && stage.is_number("stride")) result.stride[0] = 1;
  return result;
}

EncoderMaker read_torchscript(const Settings& encoder) {
  TorchScriptSpecification result;
  result.file = encoder.text("file");
  result.bytes = encoder.bytes("bytes");
  result.channels = encoder.integer("channels", 1, 4096);
  result.slices = encoder.choice("input", {"volume", "slices"}) == "slices";
  result.features = encoder.integer("features", 1, 65536);
  result.drawn = encoder.flag_or("drawn", false);
  for (const auto& stage : encoder.sections("stages"))
    result.stages.push_back(read_stage(*stage, result.slices));
  require(result.stages.empty() || result.stages.back().channels == result.features, "Expected ",
          encoder.named("features"), " to be the channels of the last of ", encoder.named("stages"), ", ",
          result.stages.empty() ? 0 : result.stages.back().channels,
          ", over whose positions they are the mean, but received ", result.features);
  return [result] { return std::make_shared<TorchScriptEncoder>(result); };
}

const EncoderFamily torchscript_family("torchscript", read_torchscript);

}  // namespace

template <typename... Parts>
void TorchScriptEncoder::must(bool condition, const Parts&... parts) const {
  if (condition) return;
  std::ostringstream message;
  message << "The TorchScript module " << specification_.file << ": ";
  (message << ... << parts);
  throw Error("BAD_CHECKPOINT", message.str());
}

TorchScriptEncoder::TorchScriptEncoder(const TorchScriptSpecification& specification)
    : specification_(specification), module_(std::make_unique<ScriptModule>()) {
  // One number is drawn in either case, so that what is drawn after the encoder doesn't depend on where its weights come from.
  const auto seed =
      uint64_t(at::randint(std::numeric_limits<int64_t>::max(), {1}, at::kLong).item<int64_t>());
  try {
    module_->root = torch::jit::load(std::make_shared<BytesInMemory>(std::move(specification_.bytes)),
                                     torch::Device(torch::kCPU));
    specification_.bytes.reset();
  } catch (const std::exception& error) {
    rethrow_known(error.what());
    must(false, "expected a file that torch.jit.save wrote but LibTorch cannot read it (",
         reason_of(c10::GetExceptionString(error)),
         "). Export it by torch.jit.script(model).save(path) or torch.jit.trace(model, example).save(path), "
         "with a PyTorch that is not newer than LibTorch");
  }
  must(module_->root.find_method("forward").has_value(),
       "expected a method forward(input), which every exported torch.nn.Module has, but it has none");
  const torch::NoGradGuard no_grad;
  std::optional<at::Generator> generator;
  if (specification_.drawn) generator = at::detail::createCPUGenerator(seed);
  Mirror mirror(generator, module_->others);
  mirror.fill(*this, by_rule_, module_->root);
  is_batch_norm_ = is_batch_norm_class(class_of(module_->root));
  must(mirror.parameters() > 0,
       "expected a module with parameters but it holds none: torch.jit.freeze and "
       "torch.jit.optimize_for_inference turn them into constants, which cannot be trained. Export it "
       "without");

  widths_.fill(specification_.features);
  if (specification_.stages.empty()) return;
  // Axes whose extent the coarsest map divides are padded to a multiple of its stride.
  for (const ScriptStage& stage : specification_.stages) {
    for (size_t axis = 0; axis < 3; ++axis) multiple_[axis] = std::max(multiple_[axis], stage.stride[axis]);
  }
  strides_[3] = std::max(multiple_[1], multiple_[2]) >= 32 ? 32 : 16;
  for (size_t index = 0; index < strides_.size(); ++index) {
    double closest = std::numeric_limits<double>::infinity();
    for (size_t stage = 0; stage < specification_.stages.size(); ++stage) {
      // In the plane of a slice: depth may go another way, and does in a module of slices.
      const auto& stride = specification_.stages[stage].stride;
      const double distance =
          std::abs(std::log(double(stride[1]) * double(stride[2])) / 2 - std::log(double(strides_[index])));
      if (distance > closest - 1e-9) continue;  // of two that are as close, the first
      closest = distance;
      chosen_[index] = stage;
    }
    widths_[index] = specification_.stages[chosen_[index]].channels;
  }
}

TorchScriptEncoder::~TorchScriptEncoder() = default;

void TorchScriptEncoder::train(bool on) {
  PyramidEncoder::train(on);
  set_training(module_->root, on);
}

void TorchScriptEncoder::to(torch::Device device, bool non_blocking) {
  PyramidEncoder::to(device, non_blocking);
  for (at::Tensor& tensor : module_->others) tensor.set_data(tensor.to(device));
}

at::Tensor TorchScriptEncoder::checked_map(const at::Tensor& map, const ScriptStage& stage,
                                           const at::Tensor& seen, const at::Tensor& input) const {
  const int64_t axes = seen.dim();
  must(map.defined() && map.dim() == axes, "expected feature maps of ", axes,
       specification_.slices ? " axes [N, C, h, w]" : " axes [N, C, d, h, w]", " but it returned one of ",
       map.sizes());
  must(map.size(0) == seen.size(0), "expected maps of ", seen.size(0), " samples for an input ", seen.sizes(),
       " but it returned ", map.sizes(),
       ". A traced module keeps the batch size of its example where its code reads sizes as numbers: export "
       "it by "
       "torch.jit.script, or trace it without reshaping by constants");
  must(map.size(1) == stage.channels, "expected a map of the declared ", stage.channels,
       " channels but it returned ", map.sizes(), ". Say what it returns in encoder.stages, in its order");
  at::Tensor volume = map;
  if (specification_.slices) {
    // [N D, C, h, w] -> [N, C, D, h, w]
    volume = map.view({input.size(0), input.size(2), map.size(1), map.size(2), map.size(3)}).transpose(1, 2);
  }
  for (int64_t axis = 2; axis < 5; ++axis) {
    const int64_t stride = stage.stride[size_t(axis - 2)];
    const int64_t whole = axis == 2 && specification_.slices ? input.size(2) : seen.size(axis - 5 + axes);
    must(volume.size(axis) >= whole / stride && volume.size(axis) <= divided(whole, stride),
         "expected a map of the declared stride ", stride, " along axis ", axis - 2, " of an input ",
         seen.sizes(), " but it returned ", map.sizes(),
         ". Say the strides of what it returns in encoder.stages, in its order");
    volume = volume.narrow(axis, 0, std::min(volume.size(axis), divided(input.size(axis), stride)));
  }
  return volume;
}

at::Tensor TorchScriptEncoder::checked_features(const at::Tensor& answer, const at::Tensor& seen,
                                                const at::Tensor& input) const {
  must(answer.defined() && (answer.dim() == 2 || answer.dim() == seen.dim()), "expected features [N, ",
       specification_.features, "], or a map of them as the input has axes, but it returned ", answer.sizes(),
       ". Let its forward pool what it returns, such as tokens.mean(1)");
  must(answer.size(0) == seen.size(0), "expected features of ", seen.size(0), " samples for an input ",
       seen.sizes(), " but it returned ", answer.sizes(),
       ". A traced module keeps the batch size of its example where its code reads sizes as numbers: export "
       "it by "
       "torch.jit.script, or trace it without reshaping by constants");
  must(answer.size(1) == specification_.features, "expected the declared ", specification_.features,
       " features but it returned ", answer.sizes(), ". Set encoder.features to ", answer.size(1));
  at::Tensor features = in_float32(answer);
  if (features.dim() > 2) features = features.flatten(2).mean(2);  // [M, features]
  if (specification_.slices) features = features.view({input.size(0), input.size(2), -1}).mean(1);
  return features;
}

void TorchScriptEncoder::require_finite(const at::Tensor& tensor) const {
  // A training looks at its loss itself; and a GPU would be waited for in each of its steps.
  if (is_training() || at::isfinite(tensor).all().item<bool>()) return;
  throw Error("NOT_FINITE",
              "The TorchScript module " + specification_.file +
                  ": expected finite features but it answers with NaN or infinity. Check that it is "
                  "exported in evaluation mode, with all of its weights, and fed intensities as it was "
                  "trained on");
}

std::vector<at::Tensor> TorchScriptEncoder::answer(const at::Tensor& input) {
  require(input.dim() == 5 && input.size(1) == specification_.channels && input.numel() > 0,
          "Expected an input [N, ", specification_.channels, ", D, H, W] for the TorchScript module ",
          specification_.file, " but received ", input.sizes());
  std::array<int64_t, 3> size = {};
  for (size_t axis = 0; axis < 3; ++axis)
    size[axis] = multiple_[axis] * divided(input.size(int64_t(axis) + 2), multiple_[axis]);
  at::Tensor seen = pad_to(input, size).contiguous();
  if (specification_.slices) seen = seen.transpose(1, 2).flatten(0, 1);  // [N D, C, H, W]
  c10::IValue value;
  try {
    // Optimised code is compiled at the second or third call, after which answers differ in their last bits.
    const torch::jit::GraphOptimizerEnabledGuard plain(false);
    value = module_->root.forward({seen});
  } catch (const c10::OutOfMemoryError&) {
    throw;
  } catch (const std::exception& error) {
    const std::string message = c10::GetExceptionString(error);
    rethrow_known(message);
    static const std::regex channels("to have ([0-9]+) channels, but got ([0-9]+) channels");
    std::smatch found;
    if (std::regex_search(message, found, channels) && found[2] == std::to_string(specification_.channels)) {
      must(false, "its first layers take ", found[1].str(), " channels but encoder.channels declares ",
           specification_.channels, ". Set encoder.channels to ", found[1].str());
    }
    must(false, "it failed on an input ", seen.sizes(), " on ", seen.device().str(), " (encoder.input ",
         specification_.slices ? "slices" : "volume", ", encoder.channels ", specification_.channels,
         "): ", reason_of(message),
         ". Check channels and input, and that it takes volumes of this size: cohort.voxels sets it, and a "
         "traced module "
         "may take no other than that of its example");
  }
  const std::vector<at::Tensor> tensors = tensors_of(value);
  const auto& stages = specification_.stages;
  if (stages.empty()) {
    must(value.isTensor(), "expected one tensor [N, ", specification_.features, "] but it returned ",
         kind_of(value),
         ". Say in encoder.stages what maps it returns (channels and stride of each, in order), or let its "
         "forward "
         "return the features alone");
    const at::Tensor features = checked_features(tensors[0], seen, input);
    require_finite(features);
    return {features};
  }
  must(tensors.size() == stages.size() && (stages.size() == 1 || !value.isTensor()),
       "expected a list or tuple of ", stages.size(),
       " feature maps, as encoder.stages declares, but it returned ", kind_of(value),
       ". Say in encoder.stages what it returns, in its order");
  std::vector<at::Tensor> maps;
  for (size_t stage = 0; stage < stages.size(); ++stage) {
    maps.push_back(checked_map(tensors[stage], stages[stage], seen, input));
    require_finite(maps.back());
  }
  return maps;
}

std::vector<at::Tensor> TorchScriptEncoder::brought(const std::vector<at::Tensor>& maps,
                                                    const at::Tensor& input) const {
  std::vector<at::Tensor> result;
  for (size_t index = 0; index < strides_.size(); ++index) {
    std::array<int64_t, 3> size = {};
    for (size_t axis = 0; axis < 3; ++axis)
      size[axis] = divided(input.size(int64_t(axis) + 2), strides_[index]);
    result.push_back(brought_to(maps[chosen_[index]], size));
  }
  return result;
}

void TorchScriptEncoder::require_maps() const {
  require(
      !specification_.stages.empty(),
      "Expected the head classifier, or none, on a TorchScript module that returns pooled features (",
      specification_.file,
      "); for another head, export it so that it returns feature maps, and declare them in encoder.stages");
}

std::vector<at::Tensor> TorchScriptEncoder::stages(const at::Tensor& input, const at::Tensor& keep) {
  require_maps();
  const at::Tensor shown =
      keep.defined() ? input * at::upsample_nearest3d(keep, input.sizes().slice(2)) : input;
  return brought(answer(shown), shown);
}

Features TorchScriptEncoder::encode(const at::Tensor& input) {
  Features features;
  const std::vector<at::Tensor> answered = answer(input);
  if (specification_.stages.empty()) {
    features.pooled = answered[0];
    return features;
  }
  features.pooled = pool(answered.back());
  features.stages = brought(answered, input);
  return features;
}

}  // namespace transfer_limits
