#include "kernels/ssim_cuda.h"

#include "kernels/cuda_stream.h"
#include "kernels/ssim_rows.h"

namespace transfer_limits::cuda {
namespace {

SsimGrid grid_of(const at::Tensor& x) { return {x.size(0) * x.size(1), x.size(2), x.size(3), x.size(4)}; }

// The windows of one sample, over which the similarity is averaged.
double windows_of(const at::Tensor& x) {
  constexpr int64_t kReach = kSsimWindow - 1;
  return double(x.size(1)) * double(x.size(2) - kReach) * double(x.size(3) - kReach) *
         double(x.size(4) - kReach);
}

template <typename Value>
SsimMaps<Value> maps_of(const SsimDerivatives& derivatives) {
  return {memory_of<Value>(derivatives.to_mean_a), memory_of<Value>(derivatives.to_mean_b),
          memory_of<Value>(derivatives.to_squares), memory_of<Value>(derivatives.to_product)};
}

template <typename Value>
void start_gradients(const at::Tensor& a, const at::Tensor& b, const SsimWindow& window,
                     const SsimDerivatives& derivatives, const at::Tensor& to_answer, const at::Tensor& to_a,
                     const at::Tensor& to_b) {
  const SsimMaps<Value> maps = maps_of<Value>(derivatives);
  ssim_gradients<Value>(grid_of(a), window, values_of<Value>(a), values_of<Value>(b),
                        {maps.to_mean_a, maps.to_mean_b, maps.to_squares, maps.to_product},
                        to_answer.const_data_ptr<double>(), a.size(1), 1.0 / windows_of(a),
                        memory_of<Value>(to_a), memory_of<Value>(to_b), current_stream());
}

}  // namespace

at::Tensor ssim_of_rows(const at::Tensor& a, const at::Tensor& b, const SsimWindow& window,
                        SsimDerivatives& derivatives) {
  const DeviceGuard guard(a);
  const SsimGrid grid = grid_of(a);
  const at::Tensor sums =
      at::empty({a.size(0), a.size(1) * ssim_parts(grid)}, a.options().dtype(at::kDouble));
  if (a.scalar_type() == at::kDouble) {
    ssim_similarity(grid, window, values_of<double>(a), values_of<double>(b), maps_of<double>(derivatives),
                    sums.data_ptr<double>(), current_stream());
  } else {
    ssim_similarity(grid, window, values_of<float>(a), values_of<float>(b), maps_of<float>(derivatives),
                    sums.data_ptr<double>(), current_stream());
  }
  return sums.sum(1).div_(windows_of(a));  // [N]
}

std::pair<at::Tensor, at::Tensor> ssim_gradients_of_rows(const at::Tensor& a, const at::Tensor& b,
                                                         const SsimWindow& window,
                                                         const SsimDerivatives& derivatives,
                                                         const at::Tensor& to_answer) {
  const DeviceGuard guard(a);
  at::Tensor to_a, to_b;
  if (derivatives.to_mean_a.defined()) to_a = at::empty_like(a);
  if (derivatives.to_mean_b.defined()) to_b = at::empty_like(b);
  const auto start = a.scalar_type() == at::kDouble ? &start_gradients<double> : &start_gradients<float>;
  start(a, b, window, derivatives, to_answer, to_a, to_b);
  return {to_a, to_b};
}

}  // namespace transfer_limits::cuda
