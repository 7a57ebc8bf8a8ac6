#include "kernels/distortion_cuda.h"

#include "kernels/cuda_stream.h"
#include "kernels/distortion.h"

namespace transfer_limits::cuda {

at::Tensor distorted(const at::Tensor& volume, const at::Tensor& distances, const at::Tensor& control,
                     const FieldAlongAxis& field) {
  const DeviceGuard guard(volume);
  const cudaStream_t stream = current_stream();
  const FieldShape shape{{volume.size(0), volume.size(1), volume.size(2)},
                         {control.size(0), control.size(1), control.size(2)},
                         field};
  const at::TensorOptions exact = volume.options().dtype(at::kDouble);
  at::Tensor values = at::empty(volume.sizes(), exact);
  at::Tensor of_rows = at::empty({2, volume.size(0) * volume.size(1)}, exact);
  auto* largest_of_rows = of_rows.data_ptr<double>();
  shape_field(shape, distances.const_data_ptr<float>(), control.const_data_ptr<float>(),
              values.data_ptr<double>(), largest_of_rows, stream);
  steepest_falls(shape, values.const_data_ptr<double>(), largest_of_rows + of_rows.size(1), stream);
  const at::Tensor extremes = of_rows.amax({1});  // [2]: the largest value and the steepest fall
  at::Tensor out = at::empty_like(volume);
  warp_along_axis(shape, extremes.const_data_ptr<double>(), values.const_data_ptr<double>(),
                  volume.const_data_ptr<float>(), out.data_ptr<float>(), stream);
  return out;
}

}  // namespace transfer_limits::cuda
