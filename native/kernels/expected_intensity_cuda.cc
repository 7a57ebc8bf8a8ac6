#include "kernels/expected_intensity_cuda.h"

#include "kernels/cuda_stream.h"
#include "kernels/expected_intensity.h"

namespace transfer_limits::cuda {
namespace {

IntensitySizes sizes_of(const at::Tensor& logits, at::IntArrayRef size) {
  return {logits.size(0), logits.size(4), logits.size(1), logits.size(2),
          logits.size(3), size[0],        size[1],        size[2]};
}

at::Tensor table_of(const IntensitySizes& sizes, const at::Tensor& like) {
  at::Tensor table = at::empty({intensity_table_values(sizes)}, like.options().dtype(at::kInt));
  fill_intensity_table(sizes, table.data_ptr<int32_t>(), current_stream());
  return table;
}

}  // namespace

at::Tensor expectation_of_bins(const at::Tensor& logits, const at::Tensor& centres, at::IntArrayRef size) {
  const DeviceGuard guard(logits);
  const IntensitySizes sizes = sizes_of(logits, size);
  at::Tensor answer =
      at::empty({sizes.batch, 1, sizes.to_depth, sizes.to_height, sizes.to_width}, logits.options());
  if (answer.numel() == 0) return answer;
  const at::Tensor table = table_of(sizes, logits);
  expect_intensity(sizes, table.const_data_ptr<int32_t>(), logits.const_data_ptr<float>(),
                   centres.const_data_ptr<float>(), answer.data_ptr<float>(), current_stream());
  return answer;
}

at::Tensor expectation_of_bins_backward(const at::Tensor& logits, const at::Tensor& centres,
                                        const at::Tensor& answer, const at::Tensor& gradient) {
  const DeviceGuard guard(logits);
  const IntensitySizes sizes = sizes_of(logits, answer.sizes().slice(2));
  if (answer.numel() == 0) return at::zeros_like(logits);
  const at::Tensor table = table_of(sizes, logits);
  at::Tensor result = at::empty_like(logits);
  const int64_t corners = intensity_corners(sizes);
  const at::Tensor cells =
      corners == 1 ? result : at::empty({logits.numel() / sizes.bins, corners, sizes.bins}, logits.options());
  differentiate_intensity(sizes, table.const_data_ptr<int32_t>(), logits.const_data_ptr<float>(),
                          centres.const_data_ptr<float>(), answer.const_data_ptr<float>(),
                          gradient.const_data_ptr<float>(), cells.data_ptr<float>(), current_stream());
  if (corners > 1)
    gather_cells(sizes, cells.const_data_ptr<float>(), result.data_ptr<float>(), current_stream());
  return result;
}

}  // namespace transfer_limits::cuda
