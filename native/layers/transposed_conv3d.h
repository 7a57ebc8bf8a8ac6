#pragma once

#include "modules.h"

namespace transfer_limits {

// The answer of a transposed 3D convolution without bias whose kernel is as large as its stride, such that each voxel
// becomes a box of its own: [N, C, D, H, W] -> [N, O, D kd, H kh, W kw]. On a CPU it is a product of matrices, in
// channels-last memory, which LibTorch's own way takes several times as long as.
at::Tensor spread_voxels(torch::nn::ConvTranspose3d& layer, const at::Tensor& x);

}  // namespace transfer_limits
