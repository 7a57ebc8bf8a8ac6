#pragma once

#include "modules.h"

namespace transfer_limits {

// Global response normalisation (Woo 2023, ConvNeXt V2, section 3.3): each channel is scaled by its L2 norm over the
// volume, relative to the mean norm of all channels, with a residual. Starts as the identity.
class GlobalResponseNormImpl : public torch::nn::Module {
 public:
  explicit GlobalResponseNormImpl(int64_t channels)
      : gamma(register_parameter("gamma", torch::zeros({1, 1, 1, 1, channels}))),
        beta(register_parameter("beta", torch::zeros({1, 1, 1, 1, channels}))) {}

  // x: [N, D, H, W, C]
  at::Tensor forward(const at::Tensor& x) {
    // Norms are float32 also where x is bfloat16.
    const at::ScalarType type = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    const at::Tensor norm =
        at::linalg_vector_norm(x, 2, at::IntArrayRef({1, 2, 3}), /*keepdim=*/true, type);  // [N, 1, 1, 1, C]
    const at::Tensor relative = norm / (norm.mean(-1, /*keepdim=*/true) + 1e-6);
    // gamma * (x * relative) + beta + x, as one pass over x
    return at::addcmul(beta.to(x.scalar_type()), x, (gamma * relative + 1.0).to(x.scalar_type()));
  }

  at::Tensor gamma;
  at::Tensor beta;
};
TORCH_MODULE(GlobalResponseNorm);

}  // namespace transfer_limits
