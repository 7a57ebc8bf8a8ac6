#include "bridge/specifications.h"

#include <string>

#include "bridge/arguments.h"
#include "bridge/handles.h"
#include "bridge/settings.h"

namespace transfer_limits {

NetworkSpecification read_network(const Napi::Value& value) {
  const Napi::Object object = transfer_limits::object(value, "specification");
  if (has(object, "model")) return ModelFamily::read(*read_settings(object.Get("model"), "model"));
  EncoderSpecification result;
  result.encoder = EncoderFamily::read(*read_settings(object.Get("encoder"), "encoder"));
  if (has(object, "head")) result.head = read_head(*read_settings(object.Get("head"), "head"));
  return result;
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

std::optional<Features> read_features(const Napi::Value& value, at::ScalarType type) {
  if (value.IsNull() || value.IsUndefined()) return std::nullopt;
  const Napi::Object object = transfer_limits::object(value, "features");
  Features features;
  features.pooled = TensorHandle::get(object.Get("pooled"), "features.pooled");
  features.stages = tensors(object.Get("stages"), "features.stages");
  require_type(features.pooled, "features.pooled", {type});
  require(features.pooled.dim() == 2, "Expected features.pooled [N, features] but received ",
          features.pooled.sizes());
  for (const at::Tensor& stage : features.stages) require_type(stage, "features.stages", {type});
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
