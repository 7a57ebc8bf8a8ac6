// Views of slices for self-distillation: boxes of slices, cut out, resized and changed in brightness.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "tensor.h"

namespace transfer_limits::volumes {

// A box of one slice, in whole voxels.
struct SliceCrop {
  int64_t volume = 0, slice = 0;
  int64_t top = 0, left = 0, height = 1, width = 1;
  bool flipped = false;         // left and right
  double gain = 1, offset = 0;  // x becomes gain x + offset
};

struct CropOptions {
  std::array<int64_t, 2> size = {1, 1};  // height and width of what is answered
  int64_t adjacent =
      1;  // slices that each is seen with, itself the middle one; those beyond the volume repeat its ends
  bool mask = false;  // by the nearest voxel, without gain and offset
};

// Crops of `volumes` [N, C, D, H, W], each resized to one size: [crops, C adjacent, height, width], the channels image by
// image as slice-wise encoders have them. Images are resized bilinearly, with a wider kernel where they become smaller.
// Throws BAD_INPUT for a box that doesn't lie in its volume.
at::Tensor crop_slices(const at::Tensor& volumes, const std::vector<SliceCrop>& crops,
                       const CropOptions& options);

}  // namespace transfer_limits::volumes
