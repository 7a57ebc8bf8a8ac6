#pragma once

#include <utility>

#include "kernels/ssim.h"
#include "tensor.h"

namespace transfer_limits {

// Derivatives of the similarity at every window with respect to the weighted means there, of a, b, a^2 + b^2 and a b:
// [N, C, D - 10, H - 10, W - 10] of the volumes' type each, or undefined.
struct SsimDerivatives {
  at::Tensor to_mean_a, to_mean_b, to_squares, to_product;
};

// SSIM of dense volumes [N, C, D, H, W], both float32 or both float64: [N] in float64, and the derivatives for which
// there is a tensor. The filter goes over the three axes while what lies between them is in the cache, and only in
// float64; no number depends on the threads.
at::Tensor ssim_of_rows(const at::Tensor& a, const at::Tensor& b, const SsimWindow& window,
                        SsimDerivatives& derivatives);

// The gradients with respect to `a` and `b`, each undefined where the derivative to its mean is; `to_answer` [N] in
// float64.
std::pair<at::Tensor, at::Tensor> ssim_gradients_of_rows(const at::Tensor& a, const at::Tensor& b,
                                                         const SsimWindow& window,
                                                         const SsimDerivatives& derivatives,
                                                         const at::Tensor& to_answer);

// What the above does with tensors that lie on a CUDA device.
namespace cuda {
at::Tensor ssim_of_rows(const at::Tensor& a, const at::Tensor& b, const SsimWindow& window,
                        SsimDerivatives& derivatives);
std::pair<at::Tensor, at::Tensor> ssim_gradients_of_rows(const at::Tensor& a, const at::Tensor& b,
                                                         const SsimWindow& window,
                                                         const SsimDerivatives& derivatives,
                                                         const at::Tensor& to_answer);
}  // namespace cuda

}  // namespace transfer_limits
