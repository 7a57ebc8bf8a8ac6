#pragma once

#include "tensor.h"

namespace transfer_limits {

enum class Activation : uint8_t { kNone, kGelu };

// What a linear layer computes: x [..., K] times the transpose of `weight` [M, K] (which may be a transposed view), plus
// `bias` [M] where that is defined, and the activation: [..., M]. Not differentiable; see layers/linear.h.
//
// On a CPU large float32 products go to oneDNN, which on processors with AVX-512 is up to a fifth faster than the
// library behind at::linear, and applies the activation before the product leaves the cache. Everything else, and a
// LibTorch without oneDNN, takes at::linear.
at::Tensor linear_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {},
                          Activation activation = Activation::kNone);

}  // namespace transfer_limits
