#include "training/losses.h"

#include <cmath>
#include <limits>

#include "error.h"
#include "kernels/ssim.h"
#include "layers/precision.h"
#include "training/patch_contrast.h"
#include "transfer.h"

namespace transfer_limits {
namespace {

constexpr double kPatchVarianceFloor = 1e-6;

void require_floating(const at::Tensor& prediction) {
  require(prediction.scalar_type() == at::kFloat || prediction.scalar_type() == at::kDouble,
          "Expected float32 or float64 for the prediction of a loss but received ",
          at::toString(prediction.scalar_type()));
}

void require_same_shape(const at::Tensor& prediction, const at::Tensor& target) {
  require(prediction.sizes() == target.sizes(), "Expected a target of the prediction's shape ",
          prediction.sizes(), " but received ", target.sizes());
  require(prediction.numel() > 0, "Expected at least one element for the prediction but received ",
          prediction.sizes());
}

at::Tensor tversky(const Loss& loss, const at::Tensor& logits, const at::Tensor& target) {
  require_same_shape(logits, target);
  require(logits.dim() >= 3, "Expected logits [N, channels, ..] for the Tversky loss but received ",
          logits.sizes());
  require(loss.alpha >= 0 && loss.beta >= 0 && loss.smooth > 0 &&
              std::isfinite(loss.alpha + loss.beta + loss.smooth),
          "Expected alpha >= 0, beta >= 0 and smooth > 0 for the Tversky loss but received ", loss.alpha,
          ", ", loss.beta, " and ", loss.smooth);
  const at::Tensor p = at::sigmoid(logits).flatten(2);              // [N, channels, voxels]
  const at::Tensor t = target.to(logits.scalar_type()).flatten(2);  // [N, channels, voxels]
  const at::Tensor hit = (p * t).sum(2);                            // [N, channels]
  const at::Tensor false_positive = p.sum(2) - hit;
  const at::Tensor false_negative = t.sum(2) - hit;
  const at::Tensor index =
      (hit + loss.smooth) / (hit + loss.alpha * false_positive + loss.beta * false_negative + loss.smooth);
  return 1 - index.mean();
}

at::Tensor l1(const at::Tensor& prediction, const at::Tensor& target) {
  require_same_shape(prediction, target);
  return at::l1_loss(prediction, target.to(prediction.scalar_type()));
}

at::Tensor ssim_loss(const Loss& loss, const at::Tensor& prediction, const at::Tensor& target) {
  require_same_shape(prediction, target);
  return (1 - ssim3d(prediction, target.to(prediction.scalar_type()), loss.data_range).mean())
      .to(prediction.scalar_type());
}

// Made on the device, of a few elements: a copy from the host could not be part of a recorded step.
at::Tensor class_weights(const Loss& loss, const at::TensorOptions& options) {
  at::Tensor weights = at::empty({int64_t(loss.weights.size())}, options);
  for (size_t index = 0; index < loss.weights.size(); ++index) {
    weights.select(0, int64_t(index)).fill_(loss.weights[index]);
  }
  return weights;
}

at::Tensor cross_entropy(const Loss& loss, const at::Tensor& logits, const at::Tensor& target) {
  require(logits.dim() >= 2 && logits.numel() > 0,
          "Expected logits [N, classes, ..] for the cross-entropy but received ", logits.sizes());
  require(target.scalar_type() == at::kLong,
          "Expected int64 classes as target of the cross-entropy but received ",
          at::toString(target.scalar_type()));
  std::vector<int64_t> shape = logits.sizes().vec();
  const int64_t classes = shape[1];
  shape.erase(shape.begin() + 1);
  require(target.sizes() == at::IntArrayRef(shape), "Expected a target of shape ", at::IntArrayRef(shape),
          ", the logits' ", logits.sizes(), " without the classes, but received ", target.sizes());
  at::Tensor weights;
  if (!loss.weights.empty()) {
    require(static_cast<int64_t>(loss.weights.size()) == classes, "Expected one weight for each of ", classes,
            " classes but received ", loss.weights.size());
    for (const double weight : loss.weights) {
      require(weight > 0 && std::isfinite(weight), "Expected positive class weights but received ", weight);
    }
    weights = class_weights(loss, logits.options());
  }
  if (target.device().is_cpu()) {
    const int64_t lowest = target.min().item<int64_t>(), highest = target.max().item<int64_t>();
    require(lowest >= 0 && highest < classes, "Expected classes in [0, ", classes - 1,
            "] as target of the cross-entropy but received ", lowest < 0 ? lowest : highest);
    return at::cross_entropy_loss(logits, target, weights);
  }
  // On a GPU a class out of range would stop the whole process, and looking for one would mean to wait for the device:
  // there the loss is not a number.
  const at::Tensor known = target.ge(0).logical_and(target.lt(classes)).all();
  return at::cross_entropy_loss(logits, target.clamp(0, classes - 1), weights)
      .masked_fill(known.logical_not(), std::numeric_limits<double>::quiet_NaN());
}

// [N, C, gd p, gh p, gw p] -> [N, P, gd, gh, gw], P in the order (pd, ph, pw, c).
at::Tensor patches_of(const at::Tensor& volume, int64_t p) {
  const int64_t n = volume.size(0), c = volume.size(1);
  const int64_t gd = volume.size(2) / p, gh = volume.size(3) / p, gw = volume.size(4) / p;
  return volume.reshape({n, c, gd, p, gh, p, gw, p})
      .permute({0, 3, 5, 7, 1, 2, 4, 6})  // [N, pd, ph, pw, C, gd, gh, gw]
      .reshape({n, p * p * p * c, gd, gh, gw});
}

}  // namespace

at::Tensor loss_value(const Loss& loss, const at::Tensor& prediction_as_computed, const at::Tensor& target) {
  const WithoutAutocast exact(prediction_as_computed.device());
  const at::Tensor prediction = in_float32(prediction_as_computed);
  require_floating(prediction);
  require(prediction.device() == target.device(),
          "Expected prediction and target on one device but received ", prediction.device().str(), " and ",
          target.device().str());
  switch (loss.kind) {
    case Loss::Kind::kTversky:
      return tversky(loss, prediction, target);
    case Loss::Kind::kL1:
      return l1(prediction, target);
    case Loss::Kind::kCrossEntropy:
      return cross_entropy(loss, prediction, target);
    case Loss::Kind::kSsim:
      return ssim_loss(loss, prediction, target);
    case Loss::Kind::kL1Ssim:
      require(std::isfinite(loss.ssim_weight) && loss.ssim_weight >= 0,
              "Expected an SSIM weight >= 0 but received ", loss.ssim_weight);
      return l1(prediction, target) + loss.ssim_weight * ssim_loss(loss, prediction, target);
    case Loss::Kind::kPatchContrast:
      return patch_contrast(prediction, target, loss.temperature, loss.lesion_share);
    case Loss::Kind::kSelfDistillation:
      throw Error(
          "BAD_INPUT",
          "The loss of self-distillation compares views with a teacher's answers: it can only be computed "
          "in training, by distil");
    case Loss::Kind::kMaskedAutoencoder:
      break;
  }
  throw Error(
      "BAD_INPUT",
      "The masked autoencoder's loss compares with the network's input: it can only be computed in training");
}

at::Tensor loss_weight(const Loss& loss, const at::Tensor& target, at::ScalarType type) {
  const auto counted = at::TensorOptions().dtype(type).device(target.device());
  switch (loss.kind) {
    case Loss::Kind::kTversky:
    case Loss::Kind::kL1:
    case Loss::Kind::kSsim:
    case Loss::Kind::kL1Ssim:
      return at::full({}, double(target.size(0)), counted);
    case Loss::Kind::kCrossEntropy: {
      if (loss.weights.empty()) return at::full({}, double(target.numel()), counted);
      const int64_t highest = int64_t(loss.weights.size()) - 1;
      return class_weights(loss, counted).index_select(0, target.flatten().clamp(0, highest)).sum();
    }
    case Loss::Kind::kMaskedAutoencoder:
      return target.ne(0).sum().to(type);
    case Loss::Kind::kPatchContrast:
    case Loss::Kind::kSelfDistillation:
      break;
  }
  throw Error(
      "BAD_INPUT",
      "Expected no micro-batches for a loss that contrasts the patches of a whole batch, or compares its "
      "views: the parts' losses are not parts of the batch's");
}

at::Tensor masked_patch_loss(const at::Tensor& prediction_as_computed, const at::Tensor& volume,
                             const at::Tensor& mask, int64_t patch, bool normalise_targets) {
  const WithoutAutocast exact(prediction_as_computed.device());
  const at::Tensor prediction = in_float32(prediction_as_computed);
  require_floating(prediction);
  require(patch >= 1, "Expected a patch of at least one voxel but received ", patch);
  require(volume.dim() == 5, "Expected a volume [N, C, D, H, W] but received ", volume.sizes());
  for (int64_t axis = 2; axis < 5; ++axis) {
    require(volume.size(axis) % patch == 0, "Expected spatial sizes that are multiples of the patch, ", patch,
            ", but received ", volume.sizes());
  }
  const at::Tensor patches = patches_of(volume.to(prediction.scalar_type()), patch);
  require(prediction.sizes() == patches.sizes(), "Expected a prediction of shape ", patches.sizes(),
          " (samples, voxels of a patch, grid) for a volume ", volume.sizes(), " but received ",
          prediction.sizes());
  const int64_t cells = patches.size(2) * patches.size(3) * patches.size(4);
  require(mask.dim() == 2 && mask.size(0) == volume.size(0) && mask.size(1) == cells,
          "Expected a mask of shape [", volume.size(0), ", ", cells, "] but received ", mask.sizes());
  const at::Tensor masked = mask.ne(0).to(prediction.scalar_type());  // [N, gd gh gw]
  const at::Tensor count = masked.sum();
  require(!count.device().is_cpu() || count.item<double>() > 0,
          "Expected at least one masked patch but received a mask of zeros");

  at::Tensor wanted = patches;  // [N, P, gd, gh, gw]
  if (normalise_targets) {
    require(patches.size(1) > 1, "Expected patches of more than one voxel to normalise but received ",
            patches.sizes());
    const auto [variance, mean] = at::var_mean(patches, /*dim=*/{1}, /*unbiased=*/true, /*keepdim=*/true);
    wanted = (patches - mean) / (variance + kPatchVarianceFloor).sqrt();
  }
  const at::Tensor error =
      (prediction - wanted).square().mean(1).flatten(1);  // [N, P, gd, gh, gw] -> [N, gd gh gw]
  return (error * masked).sum() / count;
}

}  // namespace transfer_limits
