// Changes of what training is shown: volumes that are flipped and shifted, channels in other intensities.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "modules.h"

namespace transfer_limits {

// Both along [D, H, W]: a volume is flipped first, then shifted.
struct Motion {
  std::array<bool, 3> flipped = {false, false, false};
  std::array<int64_t, 3> shift = {0, 0, 0};  // whole voxels, towards higher indices
};

// A volume [..., D, H, W], moved; voxels that nothing was moved to are 0. On the volume's device, without a wait for it.
// Throws BAD_INPUT for a tensor of fewer axes.
at::Tensor moved(const at::Tensor& volume, const Motion& motion);

// A batch [N, C, D, H, W] with each channel of each sample as gain x + offset, both [N C] numbers in the order of the
// channels. On the batch's device, without a wait for it. Throws BAD_INPUT where numbers and channels don't match.
at::Tensor with_intensities(const at::Tensor& batch, const std::vector<double>& gains,
                            const std::vector<double>& offsets);

}  // namespace transfer_limits
