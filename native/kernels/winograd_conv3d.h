#pragma once

#include "tensor.h"

namespace transfer_limits {

// 3D convolution with kernels of 3 x 3 x 3, stride 1, no bias and zero padding that keeps the size, by Winograd's minimal
// filtering F(2 x 2 x 2, 3 x 3 x 3) (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks"): eight
// neighbouring voxels take 64 multiplications a pair of channels, where the definition takes 216.
//
// On the CPU, in float32, with AVX2 or AVX-512 (in LibTorch's judgement). Volumes are [N, C, D, H, W] of any layout,
// answers channels-last. No number depends on how many threads there are, nor on the other samples of a batch.

// Whether the convolution of x [N, C, D, H, W] with `weight` [O, C, 3, 3, 3] can be had and is worth having here: float32 in
// channels-last memory on a CPU, C and O that fill vectors of eight by half at least, and a size of many tiles that wastes few of their voxels.
bool has_winograd_conv3d(const at::Tensor& x, const at::Tensor& weight);

// [N, O, D, H, W]
at::Tensor winograd_conv3d(const at::Tensor& x, const at::Tensor& weight);

// The gradient with respect to the input: the convolution of `gradient` [N, O, D, H, W] with the flipped kernels.
at::Tensor winograd_conv3d_input_gradient(const at::Tensor& gradient, const at::Tensor& weight);

// The gradient with respect to the weight [O, C, 3, 3, 3]. Accumulated over groups of tiles that follow from the shape, and then
// over the groups.
at::Tensor winograd_conv3d_weight_gradient(const at::Tensor& gradient, const at::Tensor& x);

}  // namespace transfer_limits
