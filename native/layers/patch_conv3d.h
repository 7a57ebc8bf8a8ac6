#pragma once

#include "modules.h"

namespace transfer_limits {

// Convolutions whose stride is as large as their kernel: no voxel is read or written twice, so each is a product of
// matrices. On a CPU in float32 they are computed as one, in channels-last memory: LibTorch turns the volume for one of them,
// and takes a several times slower path for a single small sample. Anywhere else they are LibTorch's own.

// The answer of a 3D convolution without padding, such as one that embeds patches, or one of 1 x 1 x 1:
// [N, C, D, H, W] -> [N, O, D / kd, H / kh, W / kw]; what is left over of an axis is not read.
at::Tensor patch_conv3d(torch::nn::Conv3d& layer, const at::Tensor& x);
at::Tensor patch_conv3d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

// The answer of a transposed 3D convolution without bias, by which each voxel becomes a box of its own:
// [N, C, D, H, W] -> [N, O, D kd, H kh, W kw].
at::Tensor spread_voxels(torch::nn::ConvTranspose3d& layer, const at::Tensor& x);
at::Tensor spread_voxels(const at::Tensor& x, const at::Tensor& weight);  // weight: [C, O, kd, kh, kw]

}  // namespace transfer_limits
