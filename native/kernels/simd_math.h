#pragma once

#include <bit>
#include <cstdint>

// For a function whose loops the compiler turns into vector instructions: compiled for several instruction sets, of
// which the processor's own is chosen when the library is loaded.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
#define TRANSFER_LIMITS_VECTORISED \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define TRANSFER_LIMITS_VECTORISED
#endif
#define TRANSFER_LIMITS_INLINE inline __attribute__((always_inline))
// What CUDA kernels call too.
#ifdef __CUDACC__
#define TRANSFER_LIMITS_ANYWHERE __host__ __device__
#else
#define TRANSFER_LIMITS_ANYWHERE
#endif

namespace transfer_limits {

// Functions without branches, so that a loop over them can be vectorised. Each says its error.

// exp(x) for x <= 0, to 1e-7 relative; below -87 it is 0.
TRANSFER_LIMITS_INLINE float exp_of_negative(float x) {
  const float within = x < -87.0f ? -87.0f : x;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
  const float shifted = within * 1.44269504f + kRound;
  const float power = shifted - kRound;
  // ln 2 in two parts, of which the first has few digits: power times it is exact.
  const float r = (within - power * 0.693359375f) + power * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const int32_t exponent = (std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kRound) + 127) << 23;
  return x < -87.0f ? 0.0f : p * std::bit_cast<float>(exponent);
}

// The same in float64, to 3e-16 relative; below -708 it is 0.
TRANSFER_LIMITS_INLINE double exp_of_negative(double x) {
  const double within = x < -708.0 ? -708.0 : x;
  constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52
  const double shifted = within * 1.4426950408889634 + kRound;
  const double power = shifted - kRound;
  const double r = (within - power * 6.93147180369123816490e-01) - power * 1.90821492927058770002e-10;
  double p = 1.0 / 6227020800.0;  // 1 / 13!: |r| <= ln 2 / 2
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * (r * r) + r + 1.0;
  const int64_t exponent = (std::bit_cast<int64_t>(shifted) - std::bit_cast<int64_t>(kRound) + 1023) << 52;
  return x < -708.0 ? 0.0 : p * std::bit_cast<double>(exponent);
}

// The standard normal distribution at x: its density, and the share below x.
struct Normal {
  float density;
  float below;
};

constexpr float kNormalRate = 0.212132034f;  // 0.3 / sqrt 2

// From fall = exp(-x^2 / 2) and t = 1 / (1 + kNormalRate |x|): the share beyond |x| is `fall` times a polynomial in t,
// fitted for the least relative error (2e-8) up to |x| = 14.
TRANSFER_LIMITS_ANYWHERE TRANSFER_LIMITS_INLINE Normal normal_from(float x, float fall, float t) {
  float p = -0.0647618174f;
  p = p * t + 0.242783428f;
  p = p * t - 0.256142922f;
  p = p * t + 0.273864591f;
  p = p * t - 0.0473286309f;
  p = p * t + 0.107464471f;
  p = p * t + 0.0741692023f;
  p = p * t + 0.0853576692f;
  p = p * t + 0.0845939992f;
  const float beyond = p * t * fall;
  return {0.398942280f * fall, x < 0.0f ? beyond : 1.0f - beyond};
}

// To 1e-7, and in the tails to 4e-6 relative.
TRANSFER_LIMITS_INLINE Normal normal_at(float x) {
  const float size = x < 0.0f ? -x : x;
  return normal_from(x, exp_of_negative(-0.5f * x * x), 1.0f / (1.0f + kNormalRate * size));
}

}  // namespace transfer_limits
