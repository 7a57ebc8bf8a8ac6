#include "training/network_loss.h"

#include "training/batch_over_ranks.h"
#include "training/patch_contrast.h"

namespace transfer_limits {
namespace {

at::Tensor masked_loss(Network& network, const at::Tensor& input, const at::Tensor& mask, const Loss& loss) {
  const PatchPrediction patches = network.predict_hidden(input, mask);
  return masked_patch_loss(patches.prediction, patches.volume, patches.hidden, patches.patch,
                           loss.normalise_targets);
}

at::Tensor contrast_loss(Network& network, const at::Tensor& volume, const at::Tensor& lesion,
                         const Loss& loss) {
  require(volume.dim() == 5 && lesion.dim() == 5 && lesion.size(0) == volume.size(0) && lesion.size(1) == 1 &&
              lesion.sizes().slice(2) == volume.sizes().slice(2),
          "Expected a lesion mask [N, 1, D, H, W] of the volume's ", volume.sizes(), " but received ",
          lesion.sizes());
  const VolumeTokens patches = network.patch_tokens(volume);
  const at::Tensor share = patch_shares(lesion, patches.rows, patches.columns).unsqueeze(0);  // [1, N D, P]
  return contrast_of_batch(
      share, /*rows_each=*/volume.size(2),
      [&network, &patches](const at::Tensor& indices) {
        return network.contrasted(patches.tokens.index_select(0, indices));
      },
      loss);
}

}  // namespace

at::Tensor network_loss(Network& network, const at::Tensor& input, const at::Tensor& target,
                        const std::optional<Features>& features, const Loss& loss, double auxiliary_weight) {
  if (!features && loss.kind == Loss::Kind::kMaskedAutoencoder)
    return masked_loss(network, input, target, loss);
  if (!features && loss.kind == Loss::Kind::kPatchContrast)
    return contrast_loss(network, input, target, loss);
  const bool auxiliary = auxiliary_weight > 0.0;
  const TrainingAnswers answers = features ? network.decoded_training_answers(*features, input, auxiliary)
                                           : network.training_answers(input, auxiliary);
  at::Tensor value = loss_value(loss, answers.answer, target);
  if (!answers.auxiliary.defined()) return value;
  return value + auxiliary_weight * loss_value(loss, answers.auxiliary, target);
}

}  // namespace transfer_limits
