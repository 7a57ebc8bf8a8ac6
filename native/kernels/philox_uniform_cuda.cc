#include "kernels/philox_uniform_cuda.h"

#include "kernels/cuda_stream.h"
#include "kernels/philox_uniform.h"

namespace transfer_limits::cuda {

void fill_philox_uniform(at::Tensor& out, const at::Tensor& seed, int64_t draw, int64_t first) {
  if (out.numel() == 0) return;
  const DeviceGuard guard(out);
  draw_uniform(seed.const_data_ptr<int64_t>(), uint32_t(draw), first, out.numel(), out.data_ptr<float>(),
               current_stream());
}

}  // namespace transfer_limits::cuda
