#include <ATen/Parallel.h>

#include "kernels/linear_product.h"
#include "kernels/mmd_operands.h"
#include "kernels/mmd_rows.h"

namespace transfer_limits {

Float32Rows::Float32Rows(int64_t capacity, int64_t features, Side /*side*/)
    : values_(at::empty({capacity, features}, at::kFloat)) {
  norms.resize(capacity);
  units.assign(capacity, 1.0);
}

void Float32Rows::fill(const float* set, int64_t begin, int64_t end, const double* centre) {
  first = begin;
  count = end - begin;
  const int64_t features = values_.size(1);
  float* out = values_.data_ptr<float>();
  at::parallel_for(0, count, 64, [&](int64_t low, int64_t high) {
    for (int64_t i = low; i < high; ++i) {
      norms[i] = centre_row(set + (begin + i) * features, centre, features, out + i * features).norm;
    }
  });
}

at::Tensor products_of(const Float32Rows& left, const Float32Rows& right, int64_t first, int64_t columns) {
  return linear_product(left.values().narrow(0, 0, left.count), right.values().narrow(0, first, columns));
}

}  // namespace transfer_limits
