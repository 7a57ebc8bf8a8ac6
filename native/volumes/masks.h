// What the voxels of a mask mean: which of them are foreground, and whether they are labels at all.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "tensor.h"

namespace transfer_limits::volumes {

// The one definition of a mask's foreground: whatever lies above this, in any of its labels.
inline constexpr float kForegroundAbove = 0.5f;

inline bool is_foreground(float value) { return value > kForegroundAbove; }
inline at::Tensor foreground(const at::Tensor& mask) { return mask.gt(kForegroundAbove); }

enum class MaskKind : uint8_t {
  kLabels,  // whole numbers from 0, give or take 1e-3
  kGraded,  // between 0 and 1, as a binary mask becomes by linear resampling
  kScaled,  // labels that a factor has made small: nothing reaches 0.5, or one number stands for all foreground
  kManyLabels,  // whole numbers, but so many or so high that they are rather an image's
  kNoLabels,    // anything else
};

struct CheckedMask {
  MaskKind kind;
  at::Tensor mask;  // whole labels; with `binary` 0 and 1; undefined where the values are refused
  std::vector<float>
      values;  // some that occur, from the lowest to the highest: those that the verdict rests on
};

// Checks the values of a mask [D, H, W] before it is resampled. With `binary`, where foreground alone is meant, a graded
// mask is taken too, and every label becomes 1. Otherwise the labels stay apart, and a graded mask is refused.
CheckedMask check_mask(const at::Tensor& mask, bool binary);

// How many voxels of `mask` [D, H, W] hold each value but 0, by value: labels, of which there are few.
std::map<float, int64_t> count_labels(const at::Tensor& mask);

}  // namespace transfer_limits::volumes
