#include "error.h"
#include "kernels/philox.h"
#include "kernels/philox_uniform.h"

namespace transfer_limits {

at::Tensor philox_uniform(int64_t count, const at::Tensor& seed, int64_t draw, int64_t first) {
  require(seed.scalar_type() == at::kLong && seed.numel() == 1,
          "Expected one int64 as the seed of draws but received ", at::toString(seed.scalar_type()), " ",
          seed.sizes());
  require(count >= 0 && first >= 0 && draw >= 0 && draw <= UINT32_MAX,
          "Expected numbers of a draw, counted from 0, but received ", count, " from ", first, " of draw ",
          draw);
  at::Tensor out = at::empty({count}, seed.options().dtype(at::kFloat));
  if (seed.is_cuda()) {
    cuda::fill_philox_uniform(out, seed, draw, first);
    return out;
  }
  const auto key = uint64_t(*seed.const_data_ptr<int64_t>());
  auto* to = out.mutable_data_ptr<float>();
  for (int64_t n = 0; n < count; ++n) to[n] = uniform_number(first + n, uint32_t(draw), key);
  return out;
}

}  // namespace transfer_limits
