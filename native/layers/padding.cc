#include "layers/padding.h"

#include <algorithm>

namespace transfer_limits {

at::Tensor pad_to(const at::Tensor& x, std::array<int64_t, 3> sizes) {
  const int64_t depth = sizes[0] - x.size(2);
  const int64_t height = sizes[1] - x.size(3);
  const int64_t width = sizes[2] - x.size(4);
  if (depth == 0 && height == 0 && width == 0) return x;
  return at::replication_pad3d(x, {0, width, 0, height, 0, depth});
}

at::Tensor pad_to_minimum(const at::Tensor& x, int64_t minimum) {
  return pad_to(x,
                {std::max(x.size(2), minimum), std::max(x.size(3), minimum), std::max(x.size(4), minimum)});
}

at::Tensor pad_to_multiple(const at::Tensor& x, int64_t multiple) {
  const auto up = [multiple](int64_t size) { return (size + multiple - 1) / multiple * multiple; };
  return pad_to(x, {up(x.size(2)), up(x.size(3)), up(x.size(4))});
}

at::Tensor crop_to(const at::Tensor& x, std::array<int64_t, 3> sizes) {
  return x.narrow(2, 0, sizes[0]).narrow(3, 0, sizes[1]).narrow(4, 0, sizes[2]);
}

}  // namespace transfer_limits
