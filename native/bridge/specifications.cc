#include "bridge/specifications.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "bridge/arguments.h"
#include "bridge/handles.h"
#include "models/families.h"

namespace transfer_limits {
namespace {

using Encoder = decltype(EncoderSpecification::encoder);

Encoder read_convnext(const Napi::Object& encoder) {
  ConvNeXtSpecification result;
  result.channels = integer(encoder.Get("channels"), "encoder.channels");
  result.depths = fixed_integers<4>(encoder.Get("depths"), "encoder.depths");
  result.dims = fixed_integers<4>(encoder.Get("dims"), "encoder.dims");
  result.drop_path = number_or(encoder, "dropPath", 0.0);
  return result;
}

Encoder read_dino_vit(const Napi::Object& encoder) {
  DinoVitSpecification result;
  result.channels = integer(encoder.Get("channels"), "encoder.channels");
  result.patch = integer(encoder.Get("patch"), "encoder.patch");
  result.embed_dim = integer(encoder.Get("embedDim"), "encoder.embedDim");
  result.depth = integer(encoder.Get("depth"), "encoder.depth");
  result.heads = integer(encoder.Get("heads"), "encoder.heads");
  result.registers = integer(encoder.Get("registers"), "encoder.registers");
  result.axis_tokens = integer(encoder.Get("axisTokens"), "encoder.axisTokens");
  return result;
}

// A stride along all axes, or along each; slices keep their depth.
std::array<int64_t, 3> read_stride(const Napi::Value& value, bool slices) {
  if (!value.IsNumber()) return fixed_integers<3>(value, "encoder.stages.stride");
  const int64_t stride = integer(value, "encoder.stages.stride");
  return {slices ? 1 : stride, stride, stride};
}

Encoder read_torchscript(const Napi::Object& encoder) {
  TorchScriptSpecification result;
  result.file = text(encoder.Get("file"), "encoder.file");
  const Napi::Value bytes = encoder.Get("bytes");
  require(bytes.IsTypedArray(), "Expected the bytes of ", result.file, " in a Uint8Array");
  const auto array = bytes.As<Napi::Uint8Array>();
  result.bytes =
      std::make_shared<const std::string>(reinterpret_cast<const char*>(array.Data()), array.ByteLength());
  result.channels = integer(encoder.Get("channels"), "encoder.channels");
  result.slices = word<bool>(encoder.Get("input"), "encoder.input", {{"volume", false}, {"slices", true}});
  result.features = integer(encoder.Get("features"), "encoder.features");
  result.drawn = boolean_or(encoder, "drawn", false);
  if (!has(encoder, "stages")) return result;
  const Napi::Value stages = encoder.Get("stages");
  require(stages.IsArray(), "Expected an array for encoder.stages");
  for (uint32_t index = 0; index < stages.As<Napi::Array>().Length(); ++index) {
    const Napi::Object stage = transfer_limits::object(stages.As<Napi::Array>().Get(index), "encoder.stages");
    result.stages.push_back({integer(stage.Get("channels"), "encoder.stages.channels"),
                             read_stride(stage.Get("stride"), result.slices)});
  }
  return result;
}

std::shared_ptr<const Settings> settings_of(const Napi::Object& object, const std::string& name);

// Numbers, or lists of numbers, in a list.
std::vector<std::vector<double>> lists(const Napi::Array& array, const std::string& name) {
  std::vector<std::vector<double>> result;
  for (uint32_t index = 0; index < array.Length(); ++index) {
    const Napi::Value item = array.Get(index);
    const std::string of_item = name + "[" + std::to_string(index) + "]";
    if (item.IsArray()) {
      result.push_back(numbers(item, of_item));
    } else {
      result.push_back({number(item, of_item)});
    }
  }
  return result;
}

Settings::Value setting_of(const Napi::Value& value, const std::string& name) {
  const std::string shown = describe(value);
  if (value.IsNumber()) return {value.As<Napi::Number>().DoubleValue(), shown};
  if (value.IsBoolean()) return {value.As<Napi::Boolean>().Value(), shown};
  if (value.IsString()) return {value.As<Napi::String>().Utf8Value(), shown};
  if (value.IsArray()) return {lists(value.As<Napi::Array>(), name), shown};
  if (value.IsObject() && !value.IsFunction()) return {settings_of(value.As<Napi::Object>(), name), shown};
  return {{}, shown};
}

std::shared_ptr<const Settings> settings_of(const Napi::Object& object, const std::string& name) {
  std::map<std::string, Settings::Value> values;
  const std::string prefix = name + ".";
  const Napi::Array keys = object.GetPropertyNames();
  for (uint32_t index = 0; index < keys.Length(); ++index) {
    const std::string key = keys.Get(index).ToString().Utf8Value();
    const Napi::Value value = object.Get(key);
    if (!value.IsUndefined()) values.emplace(key, setting_of(value, prefix + key));
  }
  return std::make_shared<const Settings>(name, std::move(values));
}

Encoder read_encoder(const Napi::Value& value) {
  const Napi::Object object = transfer_limits::object(value, "encoder");
  const std::string family = text(object.Get("family"), "encoder.family");
  if (EncoderFamily::exists(family)) return EncoderFamily::read(family, *settings_of(object, "encoder"));
  const std::map<std::string, Encoder (*)(const Napi::Object&)> others = {
      {"convnext-v2-3d", &read_convnext}, {"dino-vit", &read_dino_vit}, {"torchscript", &read_torchscript}};
  if (const auto found = others.find(family); found != others.end()) return found->second(object);
  std::vector<std::string> families = EncoderFamily::names();
  for (const auto& [name, read] : others) families.push_back(name);
  std::sort(families.begin(), families.end());
  unexpected_word(family, "encoder.family", families);
}

HeadSpecification read_classifier(const Napi::Object& head) {
  return ClassifierSpecification{integer(head.Get("classes"), "head.classes"),
                                 integer_or(head, "bottleneck", 256)};
}

HeadSpecification read_upernet(const Napi::Object& head) {
  return UperNetSpecification{integer(head.Get("outputs"), "head.outputs"), integer_or(head, "hidden", 512),
                              integer_or(head, "auxiliary", 256)};
}

template <bool kDoublesDepth>
HeadSpecification read_unetr(const Napi::Object& head) {
  return UnetrSpecification{integer(head.Get("outputs"), "head.outputs"), integer_or(head, "featureSize", 16),
                            kDoublesDepth};
}

HeadSpecification read_masked_autoencoder(const Napi::Object& head) {
  return MaskedAutoencoderSpecification{integer_or(head, "patch", 16), integer_or(head, "decoderDim", 512),
                                        integer_or(head, "decoderDepth", 1)};
}

HeadSpecification read_conv_head(const Napi::Object& head) {
  return ConvHeadSpecification{integer(head.Get("outputs"), "head.outputs"), integer_or(head, "width", 16)};
}

HeadSpecification read_contrastive(const Napi::Object& head) {
  return ContrastiveSpecification{{integer(head.Get("outputs"), "head.outputs")},
                                  integer_or(head, "hidden", 2048),
                                  integer_or(head, "bottleneck", 256),
                                  integer_or(head, "prototypes", 65536)};
}

HeadSpecification read_head(const Napi::Value& value) {
  const Napi::Object object = transfer_limits::object(value, "head");
  const auto read =
      word<HeadSpecification (*)(const Napi::Object&)>(object.Get("kind"), "head.kind",
                                                       {{"classifier", &read_classifier},
                                                        {"upernet", &read_upernet},
                                                        {"unetr", &read_unetr</*kDoublesDepth=*/false>},
                                                        {"subpixel", &read_unetr</*kDoublesDepth=*/true>},
                                                        {"masked-autoencoder", &read_masked_autoencoder},
                                                        {"conv1", &read_conv_head},
                                                        {"contrastive", &read_contrastive}});
  return read(object);
}

EncoderSpecification read_headed(const Napi::Object& object) {
  EncoderSpecification result;
  result.encoder = read_encoder(object.Get("encoder"));
  if (has(object, "head")) result.head = read_head(object.Get("head"));
  return result;
}

// Whether the answer has twice the depth of the input.
bool doubles_depth(const Napi::Object& model) {
  const int64_t depth_scale = integer_or(model, "depthScale", 1);
  require(depth_scale == 1 || depth_scale == 2, "Expected 1 or 2 for model.depthScale but received ",
          depth_scale);
  return depth_scale == 2;
}

int64_t size(const Napi::Object& model, const char* name) {
  return integer(model.Get(name), std::string("model.") + name);
}

NetworkSpecification read_unet(const Napi::Object& model) {
  return UNetSpecification{size(model, "channels"), size(model, "outputs"), size(model, "features"),
                           size(model, "levels"), doubles_depth(model)};
}

NetworkSpecification read_transunet(const Napi::Object& model) {
  return TransUNetSpecification{size(model, "channels"), size(model, "outputs"), doubles_depth(model),
                                size(model, "features"), size(model, "levels"),  size(model, "depth"),
                                size(model, "heads")};
}

NetworkSpecification read_resnet(const Napi::Object& model) {
  return ResNetSpecification{size(model, "channels"), size(model, "classes"), size(model, "features"),
                             fixed_integers<4>(model.Get("blocks"), "model.blocks")};
}

NetworkSpecification read_vit(const Napi::Object& model) {
  return VitSpecification{
      size(model, "channels"), size(model, "outputs"), fixed_integers<3>(model.Get("patch"), "model.patch"),
      size(model, "embedDim"), size(model, "depth"),   size(model, "heads")};
}

NetworkSpecification read_diffusion_unet(const Napi::Object& model) {
  return DiffusionUNetSpecification{size(model, "channels"), size(model, "outputs"), size(model, "features"),
                                    size(model, "levels")};
}

NetworkSpecification read_model(const Napi::Value& value) {
  const Napi::Object object = transfer_limits::object(value, "model");
  const auto read =
      word<NetworkSpecification (*)(const Napi::Object&)>(object.Get("family"), "model.family",
                                                          {{"unet-3d", &read_unet},
                                                           {"transunet-3d", &read_transunet},
                                                           {"resnet-3d", &read_resnet},
                                                           {"vit-3d", &read_vit},
                                                           {"diffusion-unet-3d", &read_diffusion_unet}});
  return read(object);
}

}  // namespace

NetworkSpecification read_network(const Napi::Value& value) {
  const Napi::Object object = transfer_limits::object(value, "specification");
  if (has(object, "model")) return read_model(object.Get("model"));
  return read_headed(object);
}

std::optional<IntensityBins> read_bins(const Napi::Value& value) {
  const Napi::Object object = transfer_limits::object(value, "specification");
  if (!has(object, "output")) return std::nullopt;
  const Napi::Object output = transfer_limits::object(object.Get("output"), "output");
  return IntensityBins{integer(output.Get("bins"), "output.bins"), number(output.Get("low"), "output.low"),
                       number(output.Get("high"), "output.high"), boolean_or(output, "addedToInput", false)};
}

Loss read_loss(const Napi::Value& value) {
  const Napi::Object object = transfer_limits::object(value, "loss");
  Loss loss;
  loss.kind = word<Loss::Kind>(object.Get("kind"), "loss.kind",
                               {{"tversky", Loss::Kind::kTversky},
                                {"l1", Loss::Kind::kL1},
                                {"cross-entropy", Loss::Kind::kCrossEntropy},
                                {"ssim", Loss::Kind::kSsim},
                                {"l1-ssim", Loss::Kind::kL1Ssim},
                                {"masked-autoencoder", Loss::Kind::kMaskedAutoencoder},
                                {"patch-contrast", Loss::Kind::kPatchContrast},
                                {"self-distillation", Loss::Kind::kSelfDistillation}});
  loss.alpha = number_or(object, "alpha", loss.alpha);
  loss.beta = number_or(object, "beta", loss.beta);
  loss.smooth = number_or(object, "smooth", loss.smooth);
  loss.data_range = number_or(object, "dataRange", loss.data_range);
  loss.ssim_weight = number_or(object, "ssimWeight", loss.ssim_weight);
  if (has(object, "weights")) loss.weights = numbers(object.Get("weights"), "loss.weights");
  loss.normalise_targets = boolean_or(object, "normaliseTargets", loss.normalise_targets);
  loss.temperature = number_or(object, "temperature", loss.temperature);
  loss.lesion_share = number_or(object, "lesionShare", loss.lesion_share);
  loss.patches = integer_or(object, "patches", loss.patches);
  loss.student_temperature = number_or(object, "studentTemperature", loss.student_temperature);
  loss.centre_momentum = number_or(object, "centreMomentum", loss.centre_momentum);
  loss.distillation_weight = number_or(object, "distillationWeight", loss.distillation_weight);
  loss.contrast_weight = number_or(object, "contrastWeight", loss.contrast_weight);
  return loss;
}

Precision read_precision(const Napi::Value& value) {
  return word<Precision>(
      value, "precision",
      {{"float32", Precision::kFloat32}, {"tf32", Precision::kTf32}, {"bfloat16", Precision::kBFloat16}});
}

std::optional<Features> read_features(const Napi::Value& value) {
  if (value.IsNull() || value.IsUndefined()) return std::nullopt;
  const Napi::Object object = transfer_limits::object(value, "features");
  Features features;
  features.pooled = TensorHandle::get(object.Get("pooled"), "features.pooled");
  features.stages = tensors(object.Get("stages"), "features.stages");
  require_type(features.pooled, "features.pooled", {at::kFloat});
  require(features.pooled.dim() == 2, "Expected features.pooled [N, features] but received ",
          features.pooled.sizes());
  for (const at::Tensor& stage : features.stages) require_type(stage, "features.stages", {at::kFloat});
  return features;
}

TrainerOptions read_trainer_options(const Napi::Value& value) {
  const Napi::Object object = transfer_limits::object(value, "options");
  TrainerOptions options;
  options.loss = read_loss(object.Get("loss"));
  options.weight_decay = number_or(object, "weightDecay", options.weight_decay);
  if (has(object, "betas")) {
    const auto betas = fixed_numbers<2>(object.Get("betas"), "betas");
    options.beta1 = betas[0];
    options.beta2 = betas[1];
  }
  if (has(object, "gradientClip")) {
    options.gradient_clip = number(object.Get("gradientClip"), "gradientClip");
    require(*options.gradient_clip > 0.0, "Expected a number above 0 for gradientClip but received ",
            *options.gradient_clip);
  }
  if (has(object, "rates")) {
    const Napi::Object rates = transfer_limits::object(object.Get("rates"), "rates");
    const Napi::Array names = rates.GetPropertyNames();
    for (uint32_t index = 0; index < names.Length(); ++index) {
      const std::string name = names.Get(index).As<Napi::String>().Utf8Value();
      options.rates.emplace(name, number(rates.Get(name), "rates." + name));
    }
  }
  if (has(object, "trainable")) options.trainable = texts(object.Get("trainable"), "trainable");
  options.auxiliary_weight = number_or(object, "auxiliaryWeight", options.auxiliary_weight);
  if (has(object, "precision")) options.precision = read_precision(object.Get("precision"));
  options.checkpointing = boolean_or(object, "checkpointing", options.checkpointing);
  options.cuda_graphs = boolean_or(object, "cudaGraphs", options.cuda_graphs);
  if (has(object, "microBatch")) options.micro_batch = integer(object.Get("microBatch"), "microBatch");
  return options;
}

}  // namespace transfer_limits
