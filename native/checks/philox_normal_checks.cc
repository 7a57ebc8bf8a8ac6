#include <ATen/core/PhiloxRNGEngine.h>

#include <bit>
#include <cmath>
#include <numbers>
#include <string>

#include "checks/checks.h"
#include "kernels/philox.h"
#include "kernels/philox_normal.h"

namespace transfer_limits::checks {
namespace {

struct KnownAnswer {
  PhiloxWords counter;
  uint64_t key;
  PhiloxWords answer;
};

// Of philox4x32 with 10 rounds, from Random123's kat_vectors
constexpr KnownAnswer kKnownAnswers[] = {
    {{{0, 0, 0, 0}}, 0, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
    {{{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}},
     0xffffffffffffffff,
     {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
    {{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
     0x299f31d0a4093822,
     {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}}};

void check_words(Report& report) {
  double wrong = 0;
  for (const KnownAnswer& known : kKnownAnswers) {
    const PhiloxWords words = philox(known.counter, known.key);
    for (int i = 0; i < 4; ++i) wrong += words.word[i] == known.answer.word[i] ? 0 : 1;
  }
  report.judge("Philox 4x32-10, known answers", wrong, 0);

  wrong = 0;
  for (const int64_t index :
       {int64_t(0), int64_t(1), int64_t(0xffffffff), int64_t(0x100000000), int64_t(1) << 50}) {
    for (const uint64_t seed : {uint64_t(0), uint64_t(7), uint64_t(0x0123456789abcdef)}) {
      at::Philox4_32 theirs(seed, /*subsequence=*/0, uint64_t(index));
      const PhiloxWords words = philox_block(index, seed);
      for (const uint32_t word : words.word) wrong += word == theirs() ? 0 : 1;
    }
  }
  report.judge("Philox 4x32-10, blocks as LibTorch's", wrong, 0);
}

// By the functions of the C library, in float64.
at::Tensor reference(int64_t count, uint64_t seed) {
  at::Tensor result = at::empty({(count + 3) / 4 * 4}, at::kDouble);
  auto* out = result.data_ptr<double>();
  for (int64_t block = 0; block < result.numel() / 4; ++block) {
    const PhiloxWords words = philox_block(block, seed);
    for (int i = 0; i < 4; i += 2) {
      const double u = (double(words.word[i] >> 1) + 0.5) / 2147483648.0;
      const double turn = (double(words.word[i + 1]) + 0.5) / 4294967296.0;
      const double radius = std::sqrt(-2 * std::log(u)), angle = 2 * std::numbers::pi * turn;
      out[4 * block + i] = radius * std::cos(angle);
      out[4 * block + i + 1] = radius * std::sin(angle);
    }
  }
  return result.slice(0, 0, count);
}

// Numbers whose bits differ.
double other_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.contiguous().view(at::kInt).ne(b.contiguous().view(at::kInt)).sum().item<double>();
}

at::Tensor drawn(const Report& report, int64_t count, uint64_t seed) {
  if (report.target() != Target::kEmulatedCuda) return philox_normal({count}, seed, report.device()).cpu();
  at::Tensor out = at::full({count}, std::nanf(""), at::kFloat);
  cuda::fill_philox_normal(out, seed);
  return out;
}

}  // namespace

void check_philox_normal(Report& report) {
  check_words(report);
  // No number, less than a block of words, less than what is made at once, several threads' parts; a seed of 64 bits
  for (const int64_t count : {0, 1, 3, 4, 5, 127, 128, 1021, 40001}) {
    for (const uint64_t seed : {uint64_t(3), uint64_t(0xfedcba9876543210)}) {
      const at::Tensor got = drawn(report, count, seed);
      report.judge("normal draws, the same bits as on the CPU",
                   other_bits(got, philox_normal({count}, seed, at::kCPU)), 0);
      if (count == 0) continue;
      report.judge("normal draws, largest difference from float64",
                   (got.to(at::kDouble) - reference(count, seed)).abs().max().item<double>(), 1e-6);
    }
  }
  // What stands behind another address than that of a whole block
  at::Tensor room = at::zeros({1026}, at::TensorOptions(at::kFloat).device(report.device()));
  at::Tensor part = room.slice(0, 1, 1022);
  if (report.target() != Target::kCpu) {
    cuda::fill_philox_normal(part, 5);
    report.judge("normal draws at an odd address",
                 other_bits(part.cpu(), philox_normal({1021}, 5, at::kCPU)) +
                     room.slice(0, 1022, 1026).abs().sum().item<double>(),
                 0);
  }
  // The first and last words there are: the smallest radius and the largest
  report.judge("the largest normal draw, from 6.66",
               std::abs(double(std::sqrt(minus_two_log(0))) - std::sqrt(-2 * std::log(0.5 / 2147483648.0))),
               1e-6);
  report.judge("the smallest radius, relative",
               std::abs(double(minus_two_log(0xffffffff)) / (-2 * std::log1p(-0.5 / 2147483648.0)) - 1),
               1e-6);
}

}  // namespace transfer_limits::checks
