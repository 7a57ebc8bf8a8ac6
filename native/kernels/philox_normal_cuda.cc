#include "kernels/philox_normal_cuda.h"

#include "error.h"
#include "kernels/cuda_stream.h"
#include "kernels/philox_normal.h"

namespace transfer_limits::cuda {

void fill_philox_normal(at::Tensor& out, uint64_t seed) {
  require(out.scalar_type() == at::kFloat && out.is_contiguous(),
          "Expected a dense float32 tensor to draw into but received ", at::toString(out.scalar_type()),
          out.sizes());
  if (out.numel() == 0) return;
  const DeviceGuard guard(out);
  draw_normals(seed, out.numel(), out.data_ptr<float>(), current_stream());
}

}  // namespace transfer_limits::cuda
