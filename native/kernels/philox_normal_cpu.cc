#include <ATen/Parallel.h>

#include <algorithm>

#include "error.h"
#include "kernels/philox.h"
#include "kernels/philox_normal.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace transfer_limits {
namespace {

constexpr int64_t kBlocksAtOnce = 32;
constexpr int64_t kBlocksOfThread = 4096;  // below which a second thread is not worth waking

// Word w of block b stands at [w][b].
using Words = uint32_t[kNormalsOfBlock][kBlocksAtOnce];
using MakeWords = void (*)(int64_t first, uint64_t seed, Words words);

TRANSFER_LIMITS_VECTORISED
void words_anywhere(int64_t first, uint64_t seed, Words words) {
  for (int64_t b = 0; b < kBlocksAtOnce; ++b) {
    const PhiloxWords block = philox_block(first + b, seed);
    words[0][b] = block.word[0];
    words[1][b] = block.word[1];
    words[2][b] = block.word[2];
    words[3][b] = block.word[3];
  }
}

#if defined(__x86_64__)
// A block in the lower halves of 64-bit lanes, which one instruction multiplies to all 64 bits; compilers do not find
// that. What is left in the upper halves reaches no lower one.
__attribute__((target("avx2"))) TRANSFER_LIMITS_INLINE void philox_avx2(__m256i block, uint64_t seed,
                                                                        __m256i x[4]) {
  const __m256i multipliers[2] = {_mm256_set1_epi64x(kPhiloxMultiplier0),
                                  _mm256_set1_epi64x(kPhiloxMultiplier1)};
  x[0] = block;
  x[1] = _mm256_srli_epi64(block, 32);
  x[2] = x[3] = _mm256_setzero_si256();
  uint32_t first = uint32_t(seed), second = uint32_t(seed >> 32);
#pragma GCC unroll 10
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const __m256i a = _mm256_mul_epu32(x[0], multipliers[0]), b = _mm256_mul_epu32(x[2], multipliers[1]);
    const __m256i keys[2] = {_mm256_set1_epi64x(first), _mm256_set1_epi64x(second)};
    x[0] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(b, 32), x[1]), keys[0]);
    x[1] = b;
    x[2] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(a, 32), x[3]), keys[1]);
    x[3] = a;
    first += kPhiloxWeyl0;
    second += kPhiloxWeyl1;
  }
}

__attribute__((target("avx2"))) void words_avx2(int64_t first, uint64_t seed, Words words) {
  for (int64_t b = 0; b < kBlocksAtOnce; b += 8) {
    // Even blocks and odd ones, which then lie between each other.
    const __m256i even = _mm256_add_epi64(_mm256_set1_epi64x(first + b), _mm256_set_epi64x(6, 4, 2, 0));
    __m256i x[4], y[4];
    philox_avx2(even, seed, x);
    philox_avx2(_mm256_add_epi64(even, _mm256_set1_epi64x(1)), seed, y);
#pragma GCC unroll 4
    for (int64_t w = 0; w < kNormalsOfBlock; ++w) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(words[w] + b),
                          _mm256_blend_epi32(x[w], _mm256_slli_epi64(y[w], 32), 0xAA));
    }
  }
}
#endif

MakeWords fastest_words() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) return &words_avx2;
#endif
  return &words_anywhere;
}

// out: [kBlocksAtOnce * kNormalsOfBlock]
TRANSFER_LIMITS_VECTORISED
void normals_of(const Words words, float* out) {
  float normals[kNormalsOfBlock][kBlocksAtOnce];
  for (int64_t b = 0; b < kBlocksAtOnce; ++b) {
    const NormalPair pair = normal_pair(words[0][b], words[1][b]);
    normals[0][b] = pair.first;
    normals[1][b] = pair.second;
  }
  for (int64_t b = 0; b < kBlocksAtOnce; ++b) {
    const NormalPair pair = normal_pair(words[2][b], words[3][b]);
    normals[2][b] = pair.first;
    normals[3][b] = pair.second;
  }
  for (int64_t b = 0; b < kBlocksAtOnce; ++b) {
    out[4 * b] = normals[0][b];
    out[4 * b + 1] = normals[1][b];
    out[4 * b + 2] = normals[2][b];
    out[4 * b + 3] = normals[3][b];
  }
}

// The blocks from `begin` to `end`, of `count` numbers in all.
void draw(int64_t begin, int64_t end, uint64_t seed, int64_t count, float* out) {
  static const MakeWords make_words = fastest_words();
  constexpr int64_t kAtOnce = kBlocksAtOnce * kNormalsOfBlock;
  for (int64_t block = begin; block < end; block += kBlocksAtOnce) {
    Words words;
    make_words(block, seed, words);
    const int64_t first = block * kNormalsOfBlock, last = std::min(end * kNormalsOfBlock, count);
    if (first + kAtOnce <= last) {
      normals_of(words, out + first);
    } else {
      float normals[kAtOnce];
      normals_of(words, normals);
      std::copy_n(normals, last - first, out + first);
    }
  }
}

}  // namespace

at::Tensor philox_normal(at::IntArrayRef shape, uint64_t seed, const at::Device& device) {
  at::Tensor out = at::empty(shape, at::TensorOptions(at::kFloat).device(device));
  if (device.is_cuda()) {
    cuda::fill_philox_normal(out, seed);
    return out;
  }
  require(device.is_cpu(), "Expected a CPU or a CUDA device to draw on but received ", device.str());
  const int64_t count = out.numel();
  float* to = out.mutable_data_ptr<float>();
  at::parallel_for(0, (count + kNormalsOfBlock - 1) / kNormalsOfBlock, kBlocksOfThread,
                   [&](int64_t begin, int64_t end) { draw(begin, end, seed, count, to); });
  return out;
}

}  // namespace transfer_limits
