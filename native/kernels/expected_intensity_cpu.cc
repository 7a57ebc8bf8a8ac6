#include <ATen/Parallel.h>
#include <ATen/ops/eye.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <vector>

#include "error.h"
#include "kernels/expected_intensity.h"
#include "kernels/simd_math.h"

namespace transfer_limits {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// Where a voxel of the resized axis lies between two of the original one, as in LibTorch without aligned corners.
struct Tap {
  int64_t first = 0;
  int64_t second = 0;
  float weight = 0.0F;  // of the second
};

std::vector<Tap> taps_of(int64_t from, int64_t to) {
  std::vector<Tap> taps(to);
  const double scale = double(from) / double(to);
  for (int64_t index = 0; index < to; ++index) {
    const double source = std::max(0.0, (double(index) + 0.5) * scale - 0.5);
    Tap& tap = taps[index];
    tap.first = std::min(int64_t(source), from - 1);
    tap.second = std::min(tap.first + 1, from - 1);
    tap.weight = float(source - double(tap.first));
  }
  return taps;
}

struct Sizes {
  int64_t batch, bins;
  int64_t depth, height, width;  // of the logits
  int64_t to_depth, to_height, to_width;
};

struct Resizing {
  std::vector<Tap> depth, height, width;
};

Resizing resizing_of(const Sizes& sizes) {
  return {taps_of(sizes.depth, sizes.to_depth), taps_of(sizes.height, sizes.to_height),
          taps_of(sizes.width, sizes.to_width)};
}

// Two rows of `count` values, blended.
TRANSFER_LIMITS_INLINE void blend(const float* first, const float* second, float weight, int64_t count,
                                  float* result) {
  for (int64_t i = 0; i < count; ++i) result[i] = first[i] + weight * (second[i] - first[i]);
}

// The logits of the row (z, y) of the resized volume, before it is resized along its width: [w, bins].
TRANSFER_LIMITS_INLINE void resized_row(const float* logits, const Sizes& sizes, const Tap& z, const Tap& y,
                                        float* upper, float* row) {
  const int64_t count = sizes.width * sizes.bins;
  const auto line = [&sizes, logits, count](int64_t plane, int64_t index) {
    return logits + (plane * sizes.height + index) * count;
  };
  blend(line(z.first, y.first), line(z.second, y.first), z.weight, count, row);
  if (y.weight == 0.0F) return;
  blend(line(z.first, y.second), line(z.second, y.second), z.weight, count, upper);
  blend(row, upper, y.weight, count, row);
}

// Shares of the bins at one voxel, not yet divided by their sum, which it gives.
TRANSFER_LIMITS_INLINE float shares_of(const float* logits, int64_t bins, float* shares) {
  float largest = logits[0];
  for (int64_t i = 1; i < bins; ++i) largest = std::max(largest, logits[i]);
  float sum = 0.0F;
  for (int64_t i = 0; i < bins; ++i) shares[i] = exp_of_negative(logits[i] - largest);
  for (int64_t i = 0; i < bins; ++i) sum += shares[i];
  return sum;
}

// logits: [N, d, h, w, bins] -> [N, D, H, W]
TRANSFER_LIMITS_VECTORISED void forward_rows(const float* logits, const float* centres, const Sizes& sizes,
                                             const Resizing& taps, int64_t begin, int64_t end,
                                             float* result) {
  const int64_t bins = sizes.bins;
  std::vector<float> upper(sizes.width * bins), row(sizes.width * bins), voxel(bins), shares(bins);
  for (int64_t plane = begin; plane < end; ++plane) {
    const float* sample = logits + plane / sizes.to_depth * sizes.depth * sizes.height * sizes.width * bins;
    for (int64_t y = 0; y < sizes.to_height; ++y) {
      resized_row(sample, sizes, taps.depth[plane % sizes.to_depth], taps.height[y], upper.data(),
                  row.data());
      float* line = result + (plane * sizes.to_height + y) * sizes.to_width;
      for (int64_t x = 0; x < sizes.to_width; ++x) {
        const Tap& tap = taps.width[x];
        blend(row.data() + tap.first * bins, row.data() + tap.second * bins, tap.weight, bins, voxel.data());
        const float sum = shares_of(voxel.data(), bins, shares.data());
        float expectation = 0.0F;
        for (int64_t i = 0; i < bins; ++i) expectation += shares[i] * centres[i];
        line[x] = expectation / sum;
      }
    }
  }
}

// What the gradient [N, D, H, W] of the expectation gives to the logits, not yet gathered along the depth:
// [N, D, h, w, bins]. The shares are computed anew: keeping them is what the kernel is there to avoid.
TRANSFER_LIMITS_VECTORISED void backward_rows(const float* logits, const float* centres, const float* answer,
                                              const float* gradient, const Sizes& sizes, const Resizing& taps,
                                              int64_t begin, int64_t end, float* result) {
  const int64_t bins = sizes.bins;
  const int64_t count = sizes.width * bins;
  std::vector<float> upper(count), row(count), voxel(bins), shares(bins), row_gradient(count);
  for (int64_t plane = begin; plane < end; ++plane) {
    const float* sample = logits + plane / sizes.to_depth * sizes.depth * sizes.height * count;
    float* target = result + plane * sizes.height * count;
    std::fill_n(target, sizes.height * count, 0.0F);
    for (int64_t y = 0; y < sizes.to_height; ++y) {
      const Tap& vertical = taps.height[y];
      resized_row(sample, sizes, taps.depth[plane % sizes.to_depth], vertical, upper.data(), row.data());
      std::fill(row_gradient.begin(), row_gradient.end(), 0.0F);
      const int64_t offset = (plane * sizes.to_height + y) * sizes.to_width;
      for (int64_t x = 0; x < sizes.to_width; ++x) {
        const Tap& tap = taps.width[x];
        blend(row.data() + tap.first * bins, row.data() + tap.second * bins, tap.weight, bins, voxel.data());
        const float sum = shares_of(voxel.data(), bins, shares.data());
        const float factor = gradient[offset + x] / sum;
        const float expectation = answer[offset + x];
        float* first = row_gradient.data() + tap.first * bins;
        float* second = row_gradient.data() + tap.second * bins;
        for (int64_t i = 0; i < bins; ++i) voxel[i] = factor * shares[i] * (centres[i] - expectation);
        for (int64_t i = 0; i < bins; ++i) first[i] += (1.0F - tap.weight) * voxel[i];
        for (int64_t i = 0; i < bins; ++i) second[i] += tap.weight * voxel[i];
      }
      float* first = target + vertical.first * count;
      float* second = target + vertical.second * count;
      for (int64_t i = 0; i < count; ++i) first[i] += (1.0F - vertical.weight) * row_gradient[i];
      if (vertical.weight == 0.0F) continue;
      for (int64_t i = 0; i < count; ++i) second[i] += vertical.weight * row_gradient[i];
    }
  }
}

Sizes sizes_of(const at::Tensor& logits, at::IntArrayRef size) {
  return {logits.size(0), logits.size(4), logits.size(1), logits.size(2),
          logits.size(3), size[0],        size[1],        size[2]};
}

class ExpectedIntensity : public torch::autograd::Function<ExpectedIntensity> {
 public:
  // logits: [N, d, h, w, bins], contiguous
  static at::Tensor forward(AutogradContext* context, const at::Tensor& logits, const at::Tensor& centres,
                            const std::vector<int64_t>& size) {
    const at::Tensor answer = expectation_of_bins(logits, centres, size);
    context->save_for_backward({logits, centres, answer});
    return answer;
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    return {expectation_of_bins_backward(saved[0], saved[1], saved[2], gradients[0].contiguous()),
            at::Tensor(), at::Tensor()};
  }
};

// The logits at another size, along each axis by a product with what LibTorch makes of unit vectors: its own gradient
// of the whole has no deterministic algorithm on a GPU.
at::Tensor resized_by_products(const at::Tensor& logits, at::IntArrayRef size) {
  at::Tensor x = logits;
  for (int64_t axis = 2; axis < 5; ++axis) {
    const int64_t from = x.size(axis), to = size[axis - 2];
    if (from == to) continue;
    const at::Tensor units = at::eye(from, x.options()).view({1, from, from, 1, 1});
    const at::Tensor matrix =
        at::upsample_trilinear3d(units, {to, 1, 1}, /*align_corners=*/false).view({from, to});
    x = at::matmul(x.movedim(axis, -1), matrix).movedim(-1, axis);
  }
  return x;
}

}  // namespace

at::Tensor expectation_of_bins(const at::Tensor& logits, const at::Tensor& centres, at::IntArrayRef size) {
  if (logits.is_cuda()) return cuda::expectation_of_bins(logits, centres, size);
  const Sizes sizes = sizes_of(logits, size);
  const Resizing taps = resizing_of(sizes);
  at::Tensor answer =
      at::empty({sizes.batch, 1, sizes.to_depth, sizes.to_height, sizes.to_width}, logits.options());
  const float* from = logits.const_data_ptr<float>();
  const float* middle = centres.const_data_ptr<float>();
  float* to = answer.mutable_data_ptr<float>();
  at::parallel_for(0, sizes.batch * sizes.to_depth, 1, [&](int64_t begin, int64_t end) {
    forward_rows(from, middle, sizes, taps, begin, end, to);
  });
  return answer;
}

at::Tensor expectation_of_bins_backward(const at::Tensor& logits, const at::Tensor& centres,
                                        const at::Tensor& answer, const at::Tensor& gradient) {
  if (logits.is_cuda()) return cuda::expectation_of_bins_backward(logits, centres, answer, gradient);
  const Sizes sizes = sizes_of(logits, answer.sizes().slice(2));
  const Resizing taps = resizing_of(sizes);
  const int64_t plane = sizes.height * sizes.width * sizes.bins;
  at::Tensor planes = at::empty({sizes.batch * sizes.to_depth, plane}, logits.options());
  const float* from = logits.const_data_ptr<float>();
  const float* middle = centres.const_data_ptr<float>();
  const float* expectation = answer.const_data_ptr<float>();
  const float* given = gradient.const_data_ptr<float>();
  float* to = planes.mutable_data_ptr<float>();
  at::parallel_for(0, sizes.batch * sizes.to_depth, 1, [&](int64_t begin, int64_t end) {
    backward_rows(from, middle, expectation, given, sizes, taps, begin, end, to);
  });

  // Along the depth each plane goes to the two that it was made of.
  at::Tensor result = at::zeros_like(logits);
  float* sum = result.mutable_data_ptr<float>();
  at::parallel_for(0, sizes.batch, 1, [&](int64_t begin, int64_t end) {
    for (int64_t sample = begin; sample < end; ++sample) {
      for (int64_t z = 0; z < sizes.to_depth; ++z) {
        const Tap& tap = taps.depth[z];
        const float* part = to + (sample * sizes.to_depth + z) * plane;
        float* first = sum + (sample * sizes.depth + tap.first) * plane;
        float* second = sum + (sample * sizes.depth + tap.second) * plane;
        for (int64_t i = 0; i < plane; ++i) first[i] += (1.0F - tap.weight) * part[i];
        if (tap.weight == 0.0F) continue;
        for (int64_t i = 0; i < plane; ++i) second[i] += tap.weight * part[i];
      }
    }
  });
  return result;
}

at::Tensor expected_intensity(const at::Tensor& logits, const IntensityBins& bins, at::IntArrayRef size) {
  require(logits.dim() == 5 && logits.size(1) == bins.count && size.size() == 3, "Expected logits [N, ",
          bins.count, ", D, H, W] of intensity bins but received ", logits.sizes());
  const double half = (bins.high - bins.low) / double(2 * bins.count);
  const at::Tensor centres =
      at::linspace(bins.low + half, bins.high - half, bins.count, logits.options());  // [count]
  const bool fused = logits.is_cpu() || (logits.is_cuda() && bins.count <= kMostBinsOnCuda);
  if (fused && logits.scalar_type() == at::kFloat) {
    return ExpectedIntensity::apply(logits.movedim(1, -1).contiguous(), centres, size.vec());
  }
  const at::Tensor shares =
      at::softmax(resized_by_products(logits, size), 1).movedim(1, -1);  // [N, D, H, W, count]
  return at::matmul(shares, centres).unsqueeze(1);                       // [N, 1, D, H, W]
}

}  // namespace transfer_limits
