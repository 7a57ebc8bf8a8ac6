#pragma once

#include <ATen/autocast_mode.h>

#include "modules.h"

namespace transfer_limits {

// How a network's products are computed. Parameters are float32 in any case. TF32 is float32 whose operands a GPU rounds
// to ten bits in products and convolutions (numerics.h); nothing else of it differs from float32.
enum class Precision : std::uint8_t { kFloat32, kTf32, kBFloat16 };

// Sets LibTorch's autocast on a device while it lives: with bfloat16, matrix products and convolutions take copies of
// their operands in it, while parameters, gradients of parameters and optimiser stay float32.
class Autocast {
 public:
  Autocast(Precision precision, const torch::Device& device)
      : Autocast(device, precision == Precision::kBFloat16) {}
  ~Autocast() {
    // Copies of weights live as long as the outermost autocast: the next step has other weights.
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_dtype(device_, dtype_);
    at::autocast::set_autocast_enabled(device_, enabled_);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 protected:
  Autocast(const torch::Device& device, bool enabled)
      : device_(device.type()),
        enabled_(at::autocast::is_autocast_enabled(device_)),
        dtype_(at::autocast::get_autocast_dtype(device_)) {
    at::autocast::increment_nesting();
    at::autocast::set_autocast_enabled(device_, enabled);
    if (enabled) at::autocast::set_autocast_dtype(device_, at::kBFloat16);
  }

 private:
  c10::DeviceType device_;
  bool enabled_;
  at::ScalarType dtype_;
};

// What autocast must not reach while it lives: losses, softmax over intensities, embeddings.
class WithoutAutocast : Autocast {
 public:
  explicit WithoutAutocast(const torch::Device& device) : Autocast(Precision::kFloat32, device) {}
};

inline bool autocast_on(const torch::Device& device) {
  return at::autocast::is_autocast_enabled(device.type());
}

inline Precision precision_on(const torch::Device& device) {
  return autocast_on(device) ? Precision::kBFloat16 : Precision::kFloat32;
}

// A tensor of reduced precision as float32; any other as it is.
inline at::Tensor in_float32(const at::Tensor& tensor) {
  return at::isReducedFloatingType(tensor.scalar_type()) ? tensor.to(at::kFloat) : tensor;
}

// What an operation of our own does with an operand under autocast, as LibTorch does for its convolutions.
inline at::Tensor autocast_operand(const at::Tensor& tensor) {
  if (!tensor.defined() || !autocast_on(tensor.device())) return tensor;
  return at::autocast::cached_cast(at::autocast::get_autocast_dtype(tensor.device().type()), tensor,
                                   tensor.device().type());
}

}  // namespace transfer_limits
