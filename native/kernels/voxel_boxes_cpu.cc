#include <ATen/Parallel.h>

#include <algorithm>
#include <cstring>

#include "error.h"
#include "kernels/voxel_boxes.h"

namespace transfer_limits {
namespace {

// Dense volumes [N, D d, H h, W w, C] and boxes [N, D, H, W, d, h, w C], in bytes.
struct Shape {
  int64_t samples, depth, height, width;  // in boxes
  Box box;
  int64_t line;  // bytes of a box's line of voxels: w C of them lie side by side in both
};

enum class Direction : uint8_t { kToBoxes, kToVoxels };

// Copies of `bytes`, the same for many: short ones by words, for which a call takes longer than the copy.
inline void copy_line(char* to, const char* from, int64_t bytes) {
  constexpr int64_t kWord = 32, kShort = 256;
  if (bytes > kShort || bytes % kWord != 0) {
    std::memcpy(to, from, size_t(bytes));
    return;
  }
  for (int64_t at = 0; at < bytes; at += kWord) std::memcpy(to + at, from + at, kWord);
}

template <Direction kDirection>
void copy_rows(char* voxels, char* boxes, const Shape& shape, int64_t from, int64_t to) {
  const auto [d, h, w] = shape.box;
  const int64_t lines = d * h;
  for (int64_t row = from; row < to; ++row) {  // of boxes: (n, z, y)
    const int64_t y = row % shape.height, slab = row / shape.height;
    char* const own = boxes + row * shape.width * lines * shape.line;
    for (int64_t line = 0; line < lines; ++line) {
      const int64_t plane = slab * d + line / h;  // n D d + z d + its plane in the box
      char* voxel = voxels + (plane * shape.height * h + y * h + line % h) * shape.width * shape.line;
      char* box = own + line * shape.line;
      for (int64_t x = 0; x < shape.width; ++x, voxel += shape.line, box += lines * shape.line) {
        if constexpr (kDirection == Direction::kToBoxes) {
          copy_line(box, voxel, shape.line);
        } else {
          copy_line(voxel, box, shape.line);
        }
      }
    }
  }
}

template <Direction kDirection>
void copy(const at::Tensor& voxels, const at::Tensor& boxes, const Shape& shape) {
  auto* const voxel_bytes = static_cast<char*>(voxels.data_ptr());
  auto* const box_bytes = static_cast<char*>(boxes.data_ptr());
  const int64_t row_bytes = std::max<int64_t>(1, shape.width * shape.box[0] * shape.box[1] * shape.line);
  at::parallel_for(
      0, shape.samples * shape.depth * shape.height, std::max<int64_t>(1, (1 << 17) / row_bytes),
      [&](int64_t from, int64_t to) { copy_rows<kDirection>(voxel_bytes, box_bytes, shape, from, to); });
}

}  // namespace

at::Tensor boxes_of_voxels(const at::Tensor& x, const Box& box) {
  const auto [d, h, w] = box;
  require(x.dim() == 5 && x.device().is_cpu() && d > 0 && h > 0 && w > 0 && x.size(2) % d == 0 &&
              x.size(3) % h == 0 && x.size(4) % w == 0,
          "Expected a volume of whole boxes of ", d, " x ", h, " x ", w, " but received ", x.sizes());
  const at::NoGradGuard no_grad;
  const int64_t channels = x.size(1);
  const Shape shape{x.size(0),     x.size(2) / d, x.size(3) / h,
                    x.size(4) / w, box,           w * channels * x.element_size()};
  const at::Tensor dense = x.permute({0, 2, 3, 4, 1}).contiguous();  // [N, D, H, W, C]
  at::Tensor boxes =
      at::empty({shape.samples, shape.depth, shape.height, shape.width, d * h * w * channels}, x.options());
  copy<Direction::kToBoxes>(dense, boxes, shape);
  return boxes;
}

at::Tensor voxels_of_boxes(const at::Tensor& boxes, const Box& box) {
  const auto [d, h, w] = box;
  require(boxes.dim() == 5 && boxes.device().is_cpu() && d > 0 && h > 0 && w > 0 &&
              boxes.size(4) % (d * h * w) == 0,
          "Expected boxes of ", d, " x ", h, " x ", w, " voxels but received ", boxes.sizes());
  const at::NoGradGuard no_grad;
  const int64_t channels = boxes.size(4) / (d * h * w);
  const Shape shape{boxes.size(0), boxes.size(1), boxes.size(2),
                    boxes.size(3), box,           w * channels * boxes.element_size()};
  at::Tensor voxels = at::empty({shape.samples, shape.depth * d, shape.height * h, shape.width * w, channels},
                                boxes.options());
  copy<Direction::kToVoxels>(voxels, boxes.contiguous(), shape);
  return voxels.permute({0, 4, 1, 2, 3});  // [N, C, D d, H h, W w]
}

}  // namespace transfer_limits
