#pragma once

#include <cstdint>

#include "kernels/distortion_field.h"
#include "tensor.h"

namespace transfer_limits {

// The control coefficients along W that a block of the CUDA kernel has room for.
constexpr int64_t kMostCoefficientsOfRow = 6000;

namespace cuda {
// `volume` [D, H, W] distorted by the field that `control` [d, h, w] and `distances` [D, H, W] in mm make; all float32,
// dense and on one device. Nothing waits for it.
at::Tensor distorted(const at::Tensor& volume, const at::Tensor& distances, const at::Tensor& control,
                     const FieldAlongAxis& field);
}  // namespace cuda

}  // namespace transfer_limits
