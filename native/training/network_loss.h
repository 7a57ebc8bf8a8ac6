#pragma once

#include <optional>

#include "models/network.h"
#include "training/losses.h"

namespace transfer_limits {

// The loss of one step of training of a network on `input`, to whose answer `target` belongs; where the encoder's features
// of the input are given, the encoder isn't run. That of an auxiliary head, where the network has one, is added with its
// weight.
//
// Of kMaskedAutoencoder the target is the mask, uint8 [N, patches], 1 = masked, patches in row-major order of the grid. Of
// kPatchContrast it is the lesion mask [N, 1, D, H, W] of the volume whose patches are contrasted slice by slice. Throws
// BAD_INPUT for a network that does not learn by the loss.
at::Tensor network_loss(Network& network, const at::Tensor& input, const at::Tensor& target,
                        const std::optional<Features>& features, const Loss& loss, double auxiliary_weight);

}  // namespace transfer_limits
