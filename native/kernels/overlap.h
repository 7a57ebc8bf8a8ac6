#pragma once

#include <cstdint>
#include <vector>

#include "tensor.h"

namespace transfer_limits {

// Voxel counts of one sample, of which Dice, Jaccard, precision and recall are made.
struct Overlap {
  int64_t intersection = 0;
  int64_t prediction = 0;
  int64_t target = 0;
};

// Counts, for each sample (the first dimension), the voxels where `prediction > threshold`, where `target` is
// foreground (volumes/masks.h), and where both hold. One shape, any type: probabilities with threshold 0.5, logits with
// threshold 0. NaN lies above no threshold.
std::vector<Overlap> overlap(const at::Tensor& prediction, const at::Tensor& target, double threshold);

}  // namespace transfer_limits
