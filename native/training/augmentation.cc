#include "training/augmentation.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "error.h"
#include "transfer.h"

namespace transfer_limits {
namespace {

// Numbers of the channels [N, C, 1, 1, 1] of a batch, on its device.
at::Tensor of_channels(const std::vector<double>& numbers, const at::Tensor& batch) {
  const at::Tensor list = at::tensor(numbers, at::TensorOptions(batch.scalar_type()));
  return moved_to(list, batch.device()).view({batch.size(0), batch.size(1), 1, 1, 1});
}

}  // namespace

at::Tensor moved(const at::Tensor& volume, const Motion& motion) {
  require(volume.dim() >= 3, "Expected a volume [..., D, H, W] to move but received ", volume.sizes());
  std::vector<int64_t> axes;
  for (int64_t axis = 0; axis < 3; ++axis) {
    if (motion.flipped[size_t(axis)]) axes.push_back(axis - 3);
  }
  const bool stays =
      std::all_of(motion.shift.begin(), motion.shift.end(), [](const int64_t shift) { return shift == 0; });
  if (stays) return axes.empty() ? volume.clone(at::MemoryFormat::Contiguous) : volume.flip(axes);

  at::Tensor result = at::zeros(volume.sizes(), volume.options());
  const at::Tensor flipped = axes.empty() ? volume : volume.flip(axes);
  at::Tensor from = flipped;
  at::Tensor to = result;
  for (int64_t axis = 0; axis < 3; ++axis) {
    const int64_t shift = motion.shift[size_t(axis)];
    const int64_t extent = volume.size(axis - 3);
    if (shift <= -extent || shift >= extent) return result;  // nothing is left in sight
    const int64_t overlap = extent - std::abs(shift);
    from = from.narrow(axis - 3, std::max<int64_t>(0, -shift), overlap);
    to = to.narrow(axis - 3, std::max<int64_t>(0, shift), overlap);
  }
  to.copy_(from);
  return result;
}

at::Tensor with_intensities(const at::Tensor& batch, const std::vector<double>& gains,
                            const std::vector<double>& offsets) {
  require(batch.dim() == 5 && batch.is_floating_point(),
          "Expected a batch [N, C, D, H, W] of floating point but received ",
          at::toString(batch.scalar_type()), " ", batch.sizes());
  const auto channels = size_t(batch.size(0) * batch.size(1));
  require(gains.size() == channels && offsets.size() == channels, "Expected ", channels,
          " gains and offsets, one for each channel of each sample, but received ", gains.size(), " and ",
          offsets.size());
  for (const std::vector<double>* numbers : {&gains, &offsets}) {
    for (const double number : *numbers)
      require(std::isfinite(number), "Expected finite gains and offsets but received ", number);
  }
  return at::addcmul(of_channels(offsets, batch), batch, of_channels(gains, batch)).contiguous();
}

}  // namespace transfer_limits
