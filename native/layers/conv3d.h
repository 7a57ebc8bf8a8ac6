#pragma once

#include <torch/torch.h>

namespace transfer_limits {

// A 3D convolution of stride 1 without bias that keeps the size (odd cubic kernel).
//
// LibTorch leaves oneDNN for a several times slower path when a single sample is small (channels x depth x height up
// to 20,480 in a batch of one), which is what small studies and the evaluation of single cases have. Here such samples
// go to oneDNN as well.
at::Tensor conv3d_same(const at::Tensor& x, const at::Tensor& weight);

}  // namespace transfer_limits
