#pragma once

#include <utility>

#include "tensor.h"

namespace transfer_limits {

// What stands between the two linear layers of a ConvNeXt V2 block, without the tensors that its single operations
// would leave behind. Rows are voxels: [N, V, F], dense, V voxels a sample; float32, or on CUDA bfloat16 too
// (computed in float32). Everything else is float32.

// gelu(hidden + bias), times the row's entry in `keep` [N, V] where that is defined, and the L2 norm of each feature over
// a sample's voxels [N, F]. Norms are accumulated in float64 over blocks of rows: no number depends on the threads.
// The first answer is written over `hidden` where `in_place` is set.
std::pair<at::Tensor, at::Tensor> gelu_with_norms(const at::Tensor& hidden, const at::Tensor& bias,
                                                  const at::Tensor& keep, bool in_place);

// The way back: (gradient + activated * slope) * keep * gelu'(hidden + bias), written over `gradient` [N, V, F], and its
// sum over all rows [F]. `activated` is what gelu_with_norms gave, and `slope` [N, F] the gradient with respect to a
// feature's norm, divided by the norm.
at::Tensor gelu_grn_backward(at::Tensor& gradient, const at::Tensor& activated, const at::Tensor& hidden,
                             const at::Tensor& bias, const at::Tensor& keep, const at::Tensor& slope);

// The gradient of a linear layer [C, F] that stands on the normalised features activated * scale + beta of one sample,
// from what it would be on the activated features alone, `plain` [C, F], over which it is written: plain * scale + the
// outer product of `to_bias` [C] and `beta` [F]. Answers the column sums of weight * plain, [F]: the gradient with
// respect to `scale`.
at::Tensor weight_gradient_on_grn(at::Tensor& plain, const at::Tensor& weight, const at::Tensor& scale,
                                  const at::Tensor& to_bias, const at::Tensor& beta);

// What the above does with tensors that lie on a CUDA device.
namespace cuda {
std::pair<at::Tensor, at::Tensor> gelu_with_norms(const at::Tensor& hidden, const at::Tensor& bias,
                                                  const at::Tensor& keep, bool in_place);
at::Tensor gelu_grn_backward(at::Tensor& gradient, const at::Tensor& activated, const at::Tensor& hidden,
                             const at::Tensor& bias, const at::Tensor& keep, const at::Tensor& slope);
at::Tensor weight_gradient_on_grn(at::Tensor& plain, const at::Tensor& weight, const at::Tensor& scale,
                                  const at::Tensor& to_bias, const at::Tensor& beta);
}  // namespace cuda

}  // namespace transfer_limits
