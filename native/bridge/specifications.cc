#include "bridge/specifications.h"

#include "bridge/arguments.h"
#include "bridge/handles.h"

namespace transfer_limits {
namespace {

decltype(EncoderSpecification::encoder) read_encoder(const Napi::Value& value) {
  const Napi::Object object = transfer_limits::object(value, "encoder");
  const std::string family = text(object.Get("family"), "encoder.family");
  if (family == "dino-vit") {
    DinoVitSpecification result;
    result.channels = integer(object.Get("channels"), "encoder.channels");
    result.patch = integer(object.Get("patch"), "encoder.patch");
    result.embed_dim = integer(object.Get("embedDim"), "encoder.embedDim");
    result.depth = integer(object.Get("depth"), "encoder.depth");
    result.heads = integer(object.Get("heads"), "encoder.heads");
    result.registers = integer(object.Get("registers"), "encoder.registers");
    result.axis_tokens = integer(object.Get("axisTokens"), "encoder.axisTokens");
    return result;
  }
  if (family == "resnet-3d") {
    return ResNetEncoderSpecification{integer(object.Get("channels"), "encoder.channels"),
                                      integer(object.Get("features"), "encoder.features"),
                                      fixed_integers<4>(object.Get("blocks"), "encoder.blocks")};
  }
  require(family == "convnext-v2-3d",
          "Expected convnext-v2-3d, resnet-3d or dino-vit for encoder.family but received ", family);
  ConvNeXtSpecification result;
  result.channels = integer(object.Get("channels"), "encoder.channels");
  result.depths = fixed_integers<4>(object.Get("depths"), "encoder.depths");
  result.dims = fixed_integers<4>(object.Get("dims"), "encoder.dims");
  result.drop_path = number_or(object, "dropPath", 0.0);
  return result;
}

EncoderSpecification read_headed(const Napi::Object& object) {
  EncoderSpecification result;
  result.encoder = read_encoder(object.Get("encoder"));
  if (!has(object, "head")) return result;
  const Napi::Object head = transfer_limits::object(object.Get("head"), "head");
  const std::string kind = text(head.Get("kind"), "head.kind");
  if (kind == "classifier") {
    result.head = ClassifierSpecification{integer(head.Get("classes"), "head.classes"),
                                          integer_or(head, "bottleneck", 256)};
  } else if (kind == "upernet") {
    result.head = UperNetSpecification{integer(head.Get("outputs"), "head.outputs"),
                                       integer_or(head, "hidden", 512), integer_or(head, "auxiliary", 256)};
  } else if (kind == "unetr" || kind == "subpixel") {
    result.head = UnetrSpecification{integer(head.Get("outputs"), "head.outputs"),
                                     integer_or(head, "featureSize", 16), kind == "subpixel"};
  } else if (kind == "masked-autoencoder") {
    result.head =
        MaskedAutoencoderSpecification{integer_or(head, "patch", 16), integer_or(head, "decoderDim", 512),
                                       integer_or(head, "decoderDepth", 1)};
  } else if (kind == "conv1") {
    result.head =
        ConvHeadSpecification{integer(head.Get("outputs"), "head.outputs"), integer_or(head, "width", 16)};
  } else if (kind == "contrastive") {
    result.head = ContrastiveSpecification{{integer(head.Get("outputs"), "head.outputs")},
                                           integer_or(head, "hidden", 2048),
                                           integer_or(head, "bottleneck", 256),
                                           integer_or(head, "prototypes", 65536)};
  } else {
    throw Error("BAD_INPUT",
                "Expected classifier, upernet, unetr, subpixel, masked-autoencoder, conv1 or contrastive for "
                "head.kind but received " +
                    kind);
  }
  return result;
}

// Whether the answer has twice the depth of the input.
bool doubles_depth(const Napi::Object& model) {
  const int64_t depth_scale = integer_or(model, "depthScale", 1);
  require(depth_scale == 1 || depth_scale == 2, "Expected 1 or 2 for model.depthScale but received ",
          depth_scale);
  return depth_scale == 2;
}

NetworkSpecification read_model(const Napi::Value& value) {
  const Napi::Object object = transfer_limits::object(value, "model");
  const std::string family = text(object.Get("family"), "model.family");
  const auto size = [&object](const char* name) {
    return integer(object.Get(name), std::string("model.") + name);
  };
  if (family == "unet-3d") {
    return UNetSpecification{size("channels"), size("outputs"), size("features"), size("levels"),
                             doubles_depth(object)};
  }
  if (family == "transunet-3d") {
    return TransUNetSpecification{size("channels"), size("outputs"), doubles_depth(object), size("features"),
                                  size("levels"),   size("depth"),   size("heads")};
  }
  if (family == "vit-3d") {
    return VitSpecification{
        size("channels"), size("outputs"), fixed_integers<3>(object.Get("patch"), "model.patch"),
        size("embedDim"), size("depth"),   size("heads")};
  }
  if (family == "diffusion-unet-3d") {
    return DiffusionUNetSpecification{size("channels"), size("outputs"), size("features"), size("levels")};
  }
  if (family == "resnet-3d") {
    return ResNetSpecification{size("channels"), size("classes"), size("features"),
                               fixed_integers<4>(object.Get("blocks"), "model.blocks")};
  }
  throw Error("BAD_INPUT",
              "Expected unet-3d, transunet-3d, resnet-3d, vit-3d or diffusion-unet-3d for model.family but "
              "received " +
                  family);
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
                       number(output.Get("high"), "output.high")};
}

Loss read_loss(const Napi::Value& value) {
  const Napi::Object object = transfer_limits::object(value, "loss");
  const std::string kind = text(object.Get("kind"), "loss.kind");
  Loss loss;
  if (kind == "tversky") {
    loss.kind = Loss::Kind::kTversky;
  } else if (kind == "l1") {
    loss.kind = Loss::Kind::kL1;
  } else if (kind == "cross-entropy") {
    loss.kind = Loss::Kind::kCrossEntropy;
  } else if (kind == "ssim") {
    loss.kind = Loss::Kind::kSsim;
  } else if (kind == "l1-ssim") {
    loss.kind = Loss::Kind::kL1Ssim;
  } else if (kind == "masked-autoencoder") {
    loss.kind = Loss::Kind::kMaskedAutoencoder;
  } else if (kind == "patch-contrast") {
    loss.kind = Loss::Kind::kPatchContrast;
  } else if (kind == "self-distillation") {
    loss.kind = Loss::Kind::kSelfDistillation;
  } else {
    throw Error("BAD_INPUT",
                "Expected tversky, l1, cross-entropy, ssim, l1-ssim, masked-autoencoder, patch-contrast or "
                "self-distillation for loss.kind but received " +
                    kind);
  }
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
  const std::string name = text(value, "precision");
  require(name == "float32" || name == "bfloat16", "Expected float32 or bfloat16 for precision but received ",
          name);
  return name == "bfloat16" ? Precision::kBFloat16 : Precision::kFloat32;
}

std::optional<Features> read_features(const Napi::Value& value) {
  if (value.IsNull() || value.IsUndefined()) return std::nullopt;
  const Napi::Object object = transfer_limits::object(value, "features");
  Features features;
  features.pooled = TensorHandle::get(object.Get("pooled"), "features.pooled");
  features.stages = tensors(object.Get("stages"), "features.stages");
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
  if (has(object, "microBatch")) options.micro_batch = integer(object.Get("microBatch"), "microBatch");
  return options;
}

}  // namespace transfer_limits
