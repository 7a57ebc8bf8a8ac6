// A Gaussian filter before strong downsampling: without it, structures finer than the new voxels would alias.
#pragma once

#include <array>

#include "tensor.h"

namespace transfer_limits::volumes {

// `volume` [D, H, W] filtered along each axis by a Gaussian of the given standard deviation in voxels; 0 leaves the
// axis as it is. The kernel ends after four standard deviations, and the volume is mirrored at its faces with the edge
// voxel repeated (d c b a | a b c d | d c b a), as scipy.ndimage.gaussian_filter does by default.
at::Tensor smooth(const at::Tensor& volume, const std::array<double, 3>& sigmas);

}  // namespace transfer_limits::volumes
