#include "volumes/crop_slices.h"

#include <algorithm>
#include <cmath>

#include "error.h"

namespace transfer_limits::volumes {
namespace {

constexpr int64_t kLargestSize = 4096;

void check(const at::Tensor& volumes, const std::vector<SliceCrop>& crops, const CropOptions& options) {
  require(volumes.dim() == 5 && volumes.numel() > 0 && volumes.scalar_type() == at::kFloat,
          "Expected float32 volumes [N, C, D, H, W] to cut slices from but received ",
          at::toString(volumes.scalar_type()), " ", volumes.sizes());
  require(!crops.empty(), "Expected at least one crop but received none");
  require(options.adjacent >= 1 && options.adjacent % 2 == 1,
          "Expected an odd number of adjacent slices but received ", options.adjacent);
  for (const int64_t size : options.size) {
    require(size >= 1 && size <= kLargestSize, "Expected a size of 1 to ", kLargestSize,
            " pixels for crops but received ", size);
  }
  for (const SliceCrop& crop : crops) {
    require(
        crop.volume >= 0 && crop.volume < volumes.size(0) && crop.slice >= 0 && crop.slice < volumes.size(2),
        "Expected a slice of the volumes ", volumes.sizes(), " for a crop but received slice ", crop.slice,
        " of volume ", crop.volume);
    require(crop.top >= 0 && crop.left >= 0 && crop.height >= 1 && crop.width >= 1 &&
                crop.top <= volumes.size(3) - crop.height && crop.left <= volumes.size(4) - crop.width,
            "Expected a box inside of ", volumes.size(3), " x ", volumes.size(4),
            " voxels for a crop but received ", crop.height, " x ", crop.width, " at ", crop.top, ", ",
            crop.left);
    require(std::isfinite(crop.gain) && std::isfinite(crop.offset),
            "Expected finite numbers for a crop's gain and offset but received ", crop.gain, " and ",
            crop.offset);
  }
}

}  // namespace

at::Tensor crop_slices(const at::Tensor& volumes, const std::vector<SliceCrop>& crops,
                       const CropOptions& options) {
  check(volumes, crops, options);
  const int64_t depth = volumes.size(2);
  const int64_t reach = options.adjacent / 2;
  std::vector<at::Tensor> cut;
  cut.reserve(crops.size());
  for (const SliceCrop& crop : crops) {
    const at::Tensor box = volumes.select(0, crop.volume)
                               .narrow(2, crop.top, crop.height)
                               .narrow(3, crop.left, crop.width);  // [C, D, h, w]
    std::vector<at::Tensor> slices;
    for (int64_t step = -reach; step <= reach; ++step) {
      slices.push_back(box.select(1, std::clamp<int64_t>(crop.slice + step, 0, depth - 1)));  // [C, h, w]
    }
    const at::Tensor stack = at::stack(slices, 1).flatten(0, 1).unsqueeze(0);  // [1, C adjacent, h, w]
    at::Tensor view = options.mask
                          ? at::_upsample_nearest_exact2d(stack, options.size)
                          : at::_upsample_bilinear2d_aa(stack, options.size, /*align_corners=*/false);
    if (crop.flipped) view = view.flip({3});
    if (!options.mask) view = view * crop.gain + crop.offset;
    cut.push_back(view);
  }
  return at::cat(cut, 0);  // [crops, C adjacent, height, width]
}

}  // namespace transfer_limits::volumes
