#pragma once

#include <cstdint>
#include <vector>

#include "modules.h"

namespace transfer_limits {

// A loss and its settings; those that a kind does not name are ignored.
struct Loss {
  enum class Kind : std::uint8_t {
    kTversky,            // alpha, beta, smooth
    kL1,                 //
    kCrossEntropy,       // weights
    kSsim,               // data_range
    kL1Ssim,             // data_range, ssim_weight
    kMaskedAutoencoder,  // normalise_targets; see masked_patch_loss
    kPatchContrast,      // temperature, lesion_share, patches; see patch_contrast.h
    kSelfDistillation,   // these and all below; see self_distillation.h
  };
  Kind kind = Kind::kL1;
  double alpha = 0.3;
  double beta = 0.7;
  double smooth = 1e-5;
  double data_range = 1;
  double ssim_weight = 1;
  std::vector<double> weights;  // one a class; empty: all 1
  bool normalise_targets = true;
  double temperature = 0.1;
  double lesion_share = 0.5;
  int64_t patches = 1024;  // at most so many a step
  double student_temperature = 0.1;
  double centre_momentum = 0.9;
  double distillation_weight = 1;
  double contrast_weight = 1;
};

// The loss of a batch as a scalar of the prediction's type (float32 or float64), differentiable with respect to the
// prediction. Shapes must be equal: nothing is broadcast.
//
//   kTversky       prediction: logits [N, channels, ..]; target: a mask of that shape, 0 or 1 (or in between).
//                  1 - mean over samples and channels of (TP + s) / (TP + alpha FP + beta FN + s), where with
//                  p = sigmoid(logits): TP = sum p t, FP = sum p (1 - t), FN = sum (1 - p) t, s = smooth.
//                  alpha weighs false positives, beta false negatives; 0.5 and 0.5 are the Dice loss.
//                  (Salehi et al., "Tversky loss function for image segmentation using 3D fully convolutional
//                  deep networks", 2017.) Where the target is empty the index is s / (alpha FP + s): near 0
//                  until almost nothing is predicted.
//   kL1            mean |prediction - target|.
//   kCrossEntropy  prediction: logits [N, K, ..]; target: int64 [N, ..], in [0, K). The mean of -log softmax at
//                  the target's class, weighted with the weight of that class (divided by the sum of the
//                  weights used).
//   kSsim          1 - mean SSIM over the batch; prediction and target [N, C, D, H, W] (kernels/ssim.h).
//   kL1Ssim        kL1 + ssim_weight * kSsim.
//   kPatchContrast prediction: features [M, E]; target: the share of lesion in each patch, [M].
//
// kMaskedAutoencoder needs the input as well, kSelfDistillation a teacher: they are errors here. Throws BAD_INPUT when shapes, types, settings or
// classes do not fit.
//
// A prediction in bfloat16 is taken as float32, and autocast does not reach in here.
at::Tensor loss_value(const Loss& loss, const at::Tensor& prediction, const at::Tensor& target);

// What the loss of a batch is divided by, a scalar: its samples, the sum of its targets' class weights, or its masked
// patches. The losses of a batch's parts, each times its part's share of this, add up to the loss of the batch. Throws
// BAD_INPUT for losses that compare the samples of a batch with each other, which have no such parts. `type`: of the images.
at::Tensor loss_weight(const Loss& loss, const at::Tensor& target, at::ScalarType type);

// Whether it compares the samples of a batch with each other, and so has no such parts.
inline bool compares_samples(const Loss& loss) {
  return loss.kind == Loss::Kind::kPatchContrast || loss.kind == Loss::Kind::kSelfDistillation;
}

// The masked autoencoder's loss (He et al., "Masked autoencoders are scalable vision learners", 2022): the mean squared
// error of each patch, averaged over the masked patches of the batch.
//
//   prediction  [N, P, gd, gh, gw], P = patch^3 C: the voxels of a patch in the order (pd, ph, pw, c), c fastest
//   volume      [N, C, gd patch, gh patch, gw patch]: what was to be predicted
//   mask        [N, gd gh gw], row-major over the grid; not 0 where the patch was hidden from the encoder
//
// With `normalise_targets` each patch of the target has its mean taken away and is divided by sqrt(v + 1e-6), v its
// unbiased variance. Throws BAD_INPUT when the shapes do not fit or no patch is masked; on a GPU, where looking would
// mean to wait for it, the loss is then not a number.
at::Tensor masked_patch_loss(const at::Tensor& prediction, const at::Tensor& volume, const at::Tensor& mask,
                             int64_t patch, bool normalise_targets);

}  // namespace transfer_limits
