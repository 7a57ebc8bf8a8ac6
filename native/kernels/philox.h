#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/simd_math.h"

namespace transfer_limits {

// Random numbers that follow from their place alone: number n of a seed is the same on whatever device, thread or part
// of a tensor it is computed. So nothing here may round differently from one compiler to the next: every product that
// something is added to is an explicit fmaf, and the rest is integers and IEEE's exactly rounded operations. Nor are
// there branches, so that a loop over it can be vectorised.

struct PhiloxWords {
  uint32_t word[4];
};

// Not arrays, whose elements device code does not know.
constexpr uint32_t kPhiloxMultiplier0 = 0xD2511F53u, kPhiloxMultiplier1 = 0xCD9E8D57u;
constexpr uint32_t kPhiloxWeyl0 = 0x9E3779B9u,
                   kPhiloxWeyl1 = 0xBB67AE85u;  // added to the key after each round
constexpr int kPhiloxRounds = 10;

TRANSFER_LIMITS_ANYWHERE TRANSFER_LIMITS_INLINE uint32_t upper_product(uint32_t a, uint32_t b) {
  return uint32_t(uint64_t(a) * b >> 32);
}

// Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): four random words of a counter
// under a key.
TRANSFER_LIMITS_ANYWHERE TRANSFER_LIMITS_INLINE PhiloxWords philox(const PhiloxWords& counter, uint64_t key) {
  PhiloxWords x = counter;
  uint32_t first = uint32_t(key), second = uint32_t(key >> 32);
#ifdef __CUDACC__
#pragma unroll
#else
#pragma GCC unroll 10
#endif
  for (int round = 0; round < kPhiloxRounds; ++round) {
    x = {{upper_product(kPhiloxMultiplier1, x.word[2]) ^ x.word[1] ^ first, kPhiloxMultiplier1 * x.word[2],
          upper_product(kPhiloxMultiplier0, x.word[0]) ^ x.word[3] ^ second, kPhiloxMultiplier0 * x.word[0]}};
    first += kPhiloxWeyl0;
    second += kPhiloxWeyl1;
  }
  return x;
}

// The words of block `index` of a seed's numbers.
TRANSFER_LIMITS_ANYWHERE TRANSFER_LIMITS_INLINE PhiloxWords philox_block(int64_t index, uint64_t seed) {
  return philox({{uint32_t(uint64_t(index)), uint32_t(uint64_t(index) >> 32), 0u, 0u}}, seed);
}

// Number n of a draw of a seed, in [0, 1): one of four that a block of words makes. The block's last word keeps these blocks
// apart from all that `philox_block` gives.
TRANSFER_LIMITS_ANYWHERE TRANSFER_LIMITS_INLINE float uniform_number(int64_t n, uint32_t draw,
                                                                     uint64_t seed) {
  const uint64_t block = uint64_t(n) / 4;
  const PhiloxWords words = philox({{uint32_t(block), uint32_t(block >> 32), draw, 1u}}, seed);
  return float(words.word[uint64_t(n) % 4] >> 8) * 0x1p-24f;
}

TRANSFER_LIMITS_ANYWHERE TRANSFER_LIMITS_INLINE int32_t bits_of(float value) {
  int32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

TRANSFER_LIMITS_ANYWHERE TRANSFER_LIMITS_INLINE float float_of(int32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

// -2 ln u of u = (k + 1/2) / 2^31, k the upper 31 bits of a word; to 4e-7 relative, near u = 1 too.
TRANSFER_LIMITS_ANYWHERE TRANSFER_LIMITS_INLINE float minus_two_log(uint32_t word) {
  const int32_t k = int32_t(word >> 1);
  const float scaled = float(k) + 0.5f;
  // scaled = m 2^e with m in [sqrt(1/2), sqrt(2))
  constexpr int32_t kRootOfHalf = 0x3f3504f3;
  const int32_t e = (bits_of(scaled) - kRootOfHalf) >> 23;
  const float below = float_of(bits_of(scaled) - int32_t(uint32_t(e) << 23)) - 1.0f;
  // u - 1 without the rounding of `scaled`, for e = 31: there it is what the logarithm follows from.
  const float near_one = (float(int32_t(uint32_t(k) | 0x80000000u)) + 0.5f) * 0x1p-31f;
  const int32_t is_near_one = (30 - e) >> 31;  // all bits or none
  const float t = float_of((bits_of(near_one) & is_near_one) | (bits_of(below) & ~is_near_one));
  // ln(1 + t) = t - t^2 / 2 + t^3 P(t), with the coefficients of Cephes' logf
  float p = 7.0376836292e-2f;
  p = fmaf(p, t, -1.1514610310e-1f);
  p = fmaf(p, t, 1.1676998740e-1f);
  p = fmaf(p, t, -1.2420140846e-1f);
  p = fmaf(p, t, 1.4249322787e-1f);
  p = fmaf(p, t, -1.6668057665e-1f);
  p = fmaf(p, t, 2.0000714765e-1f);
  p = fmaf(p, t, -2.4999993993e-1f);
  p = fmaf(p, t, 3.3333331174e-1f);
  const float square = t * t, power = float(e - 31);
  // ln 2 in two parts, of which the first has few digits
  const float rest = fmaf(-0.5f, square, fmaf(t * square, p, power * -2.12194440e-4f));
  return -2.0f * fmaf(power, 0.693359375f, t + rest);
}

struct NormalPair {
  float first, second;
};

// Two independent draws from the standard normal distribution of two words, by Box and Muller: a radius, which is at
// most 6.66, and an angle. To 6e-7.
TRANSFER_LIMITS_ANYWHERE TRANSFER_LIMITS_INLINE NormalPair normal_pair(uint32_t for_radius,
                                                                       uint32_t for_angle) {
  const float radius = sqrtf(minus_two_log(for_radius));
  // The angle 2 pi (word + 1/2) / 2^32 is `quarter` quarters of a turn and a, at most an eighth of one.
  const uint32_t quarter = (for_angle + 0x20000000u) >> 30;
  const float a = fmaf(float(int32_t(for_angle - (quarter << 30))), 1.46291807927e-9f, 7.31459039634e-10f);
  const float square = a * a;
  float sine = -1.9515295891e-4f;
  sine = fmaf(sine, square, 8.3321608736e-3f);
  sine = fmaf(sine, square, -1.6666654611e-1f);
  sine = fmaf(sine, square * a, a);
  float cosine = 2.443315711809948e-5f;
  cosine = fmaf(cosine, square, -1.388731625493765e-3f);
  cosine = fmaf(cosine, square, 4.166664568298827e-2f);
  cosine = fmaf(cosine, square, -0.5f);
  cosine = fmaf(cosine, square, 1.0f);
  // Odd quarters exchange the two; signs follow from the quarter.
  const int32_t exchanged = (bits_of(sine) ^ bits_of(cosine)) & -int32_t(quarter & 1u);
  const int32_t sign_of_first = int32_t(((quarter + 1u) & 2u) << 30),
                sign_of_second = int32_t((quarter & 2u) << 30);
  return {radius * float_of(bits_of(cosine) ^ exchanged ^ sign_of_first),
          radius * float_of(bits_of(sine) ^ exchanged ^ sign_of_second)};
}

}  // namespace transfer_limits
