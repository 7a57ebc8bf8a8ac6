#pragma once

#include "layers/channels_last.h"
#include "layers/precision.h"
#include "modules.h"

namespace transfer_limits {

// Whether a convolution with padding would run in bfloat16 on a CPU on a volume with an axis that is not longer than the
// kernel. There oneDNN's gradient of the weight (in LibTorch 2.14.1) holds what was in memory before at taps that
// lie on padding alone, and can write beyond its end; float32 is right.
inline bool wants_float32(const at::Tensor& x, const at::Tensor& weight) {
  if (!x.device().is_cpu() || !autocast_on(x.device())) return false;
  for (int64_t axis = 2; axis < x.dim(); ++axis) {
    if (weight.size(axis) > 1 && x.size(axis) <= weight.size(axis)) return true;
  }
  return false;
}

// The answer of a 3D convolution that pads, whatever the size.
inline at::Tensor padded(torch::nn::Conv3d& layer, const at::Tensor& x) {
  if (!wants_float32(x, layer->weight)) return layer(with_plain_strides(x));
  const WithoutAutocast exact(x.device());
  return layer(in_float32(x));
}

// A 3D convolution of stride 1 without bias that keeps the size (odd cubic kernel). On a CPU in float32 kernels of 3 x 3 x 3
// are convolved by fewer multiplications where channels allow it (kernels/winograd_conv3d.h).
//
// LibTorch leaves oneDNN for a several times slower path when a single sample is small (channels x depth x height up
// to 20,480 in a batch of one), which is what small studies and the evaluation of single cases have. Here such samples
// go to oneDNN as well.
at::Tensor conv3d_same(const at::Tensor& x, const at::Tensor& weight);

}  // namespace transfer_limits
