#pragma once

#include <cstdint>

#include "kernels/cuda_launch.h"
#include "kernels/ssim_window.h"

namespace transfer_limits::cuda {

// Dense volumes [volumes, depth, height, width]: those of all samples and channels.
struct SsimGrid {
  int64_t volumes, depth, height, width;
};

// One value for each window, or null: [volumes, depth - 10, height - 10, width - 10].
template <typename Value>
struct SsimMaps {
  Value *to_mean_a, *to_mean_b, *to_squares, *to_product;
};

// Into how many parts the similarity of one volume is summed.
int64_t ssim_parts(const SsimGrid& grid);

// The sum of the similarity of `a` and `b` over all windows, in parts that are to be added: `sums` [volumes, parts]; and
// the derivatives at every window for which there is room. `Value` is float or double; everything is computed in double.
template <typename Value>
void ssim_similarity(const SsimGrid& grid, const SsimWindow& window, const Value* a, const Value* b,
                     const SsimMaps<Value>& derivatives, double* sums, cudaStream_t stream);

// The gradients with respect to `a` and `b` (or null, as derivatives that they do not need), times the entry of the
// volume's sample in `factors` [volumes / channels] and times `scale`.
template <typename Value>
void ssim_gradients(const SsimGrid& grid, const SsimWindow& window, const Value* a, const Value* b,
                    const SsimMaps<const Value>& derivatives, const double* factors, int64_t channels,
                    double scale, Value* to_a, Value* to_b, cudaStream_t stream);

}  // namespace transfer_limits::cuda
