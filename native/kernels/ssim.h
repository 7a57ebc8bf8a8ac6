#pragma once

#include "kernels/ssim_window.h"
#include "tensor.h"

namespace transfer_limits {

// Structural similarity in three dimensions (Wang et al., "Image quality assessment: from error visibility to
// structural similarity", 2004): a Gaussian window of 11 x 11 x 11 voxels with sigma 1.5, K1 = 0.01, K2 =
// 0.03, weighted population (co)variances.
//
// `a`, `b`: one shape, [N, C, D, H, W], or [D, H, W] for one volume of one channel; float32 or float64.
// `data_range` is the width of the range of possible values, not of those present. Answers [N] in float64:
// the mean over channels and over the windows that lie fully inside. Computed in float64 throughout, since
// the variance of a flat window is a difference of two nearly equal numbers. Differentiable with respect to
// both volumes.
at::Tensor ssim3d(const at::Tensor& a, const at::Tensor& b, double data_range);

// The window and the constants for values in a range of that width.
SsimWindow ssim_window(double data_range);

}  // namespace transfer_limits
