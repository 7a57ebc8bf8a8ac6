#pragma once

#include <cstdint>

namespace transfer_limits {

// What a norm is followed by. The leaky ReLU's slope is 0.01.
enum class AfterNorm : std::uint8_t { kNone, kLeakyRelu, kSilu };

constexpr double kLeakySlope = 0.01;
constexpr double kNormEpsilon = 1e-5;

}  // namespace transfer_limits
