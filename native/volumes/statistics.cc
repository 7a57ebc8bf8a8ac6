#include "volumes/statistics.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <vector>

#include "error.h"
#include "volumes/masks.h"
#include "volumes/volume.h"

namespace transfer_limits::volumes {
namespace {

// Calls `work(block, begin, end)` for each block of kBlock voxels.
template <typename Work>
int64_t for_each_block(int64_t count, const Work& work) {
  const int64_t blocks = (count + kBlock - 1) / kBlock;
  at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      work(block, block * kBlock, std::min(count, (block + 1) * kBlock));
    }
  });
  return blocks;
}

// In whole numbers, which compilers vectorise: not finite is what has an exponent of ones only.
template <typename Bits>
int64_t count_exponents(const void* data, int64_t count, Bits exponent) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  std::atomic<int64_t> total = 0;
  at::parallel_for(0, count, kBlock, [&](int64_t begin, int64_t end) {
    int64_t found = 0;
    for (int64_t i = begin; i < end; ++i) {
      Bits bits;
      std::memcpy(&bits, bytes + i * int64_t(sizeof(Bits)), sizeof(Bits));
      found += (bits & exponent) == exponent ? 1 : 0;
    }
    total += found;
  });
  return total;
}

}  // namespace

int64_t count_not_finite(const void* data, int64_t count, at::ScalarType type) {
  switch (type) {
    case at::kDouble:
      return count_exponents<uint64_t>(data, count, 0x7ff0'0000'0000'0000);
    case at::kFloat:
      return count_exponents<uint32_t>(data, count, 0x7f80'0000);
    case at::kBFloat16:
      return count_exponents<uint16_t>(data, count, 0x7f80);
    case at::kHalf:
      return count_exponents<uint16_t>(data, count, 0x7c00);
    default:
      throw Error("BAD_INPUT",
                  std::string("Expected floating-point numbers but received ") + at::toString(type));
  }
}

Moments moments_above(const at::Tensor& volume, double threshold) {
  const at::Tensor input = require_volume(volume, "volume");
  const float* data = input.const_data_ptr<float>();
  const int64_t voxels = input.numel(), blocks = (voxels + kBlock - 1) / kBlock;
  const auto counts = [threshold](float value) { return std::isfinite(value) && value > threshold; };

  struct Partial {
    int64_t count = 0;
    double minimum = kInfinity, maximum = -kInfinity, sum = 0;
  };
  std::vector<Partial> partial(blocks);
  for_each_block(voxels, [&](int64_t block, int64_t begin, int64_t end) {
    Partial part;
    for (int64_t i = begin; i < end; ++i) {
      if (!counts(data[i])) continue;
      const double value = data[i];
      ++part.count;
      part.sum += value;
      part.minimum = std::min(part.minimum, value);
      part.maximum = std::max(part.maximum, value);
    }
    partial[block] = part;
  });
  Partial total;
  for (const Partial& part : partial) {
    total.count += part.count;
    total.sum += part.sum;
    total.minimum = std::min(total.minimum, part.minimum);
    total.maximum = std::max(total.maximum, part.maximum);
  }
  if (total.count == 0) return {0, 0, 0, 0, 0};

  // A second pass about the mean: a sum of squares would cancel where the mean is far from zero.
  const double mean = total.sum / static_cast<double>(total.count);
  std::vector<double> squares(blocks, 0);
  for_each_block(voxels, [&](int64_t block, int64_t begin, int64_t end) {
    double sum = 0;
    for (int64_t i = begin; i < end; ++i) {
      if (counts(data[i])) sum += (data[i] - mean) * (data[i] - mean);
    }
    squares[block] = sum;
  });
  double sum = 0;
  for (const double square : squares) sum += square;
  return {total.count, total.minimum, total.maximum, mean, std::sqrt(sum / static_cast<double>(total.count))};
}

Statistics statistics(const at::Tensor& volume) {
  const Moments moments = moments_above(volume, -kInfinity);
  return {moments.minimum, moments.maximum, moments.mean, moments.standard_deviation,
          volume.numel() - moments.count};
}

std::optional<Bounds> bounds(const at::Tensor& mask) {
  const at::Tensor input = require_volume(mask, "mask");
  const float* data = input.const_data_ptr<float>();
  const int64_t depth = input.size(0), height = input.size(1), width = input.size(2);
  const Bounds empty{{depth, height, width}, {-1, -1, -1}};
  std::vector<Bounds> slices(depth, empty);
  at::parallel_for(0, depth, 1, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      Bounds box = empty;
      for (int64_t j = 0; j < height; ++j) {
        for (int64_t i = 0; i < width; ++i) {
          if (!is_foreground(data[(k * height + j) * width + i])) continue;
          box.low = {k, std::min(box.low[1], j), std::min(box.low[2], i)};
          box.high = {k, std::max(box.high[1], j), std::max(box.high[2], i)};
        }
      }
      slices[k] = box;
    }
  });
  Bounds all = empty;
  for (const Bounds& slice : slices) {
    for (int axis = 0; axis < 3; ++axis) {
      all.low[axis] = std::min(all.low[axis], slice.low[axis]);
      all.high[axis] = std::max(all.high[axis], slice.high[axis]);
    }
  }
  if (all.high[0] < 0) return std::nullopt;
  return all;
}

}  // namespace transfer_limits::volumes
