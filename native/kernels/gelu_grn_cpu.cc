#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "error.h"
#include "kernels/gelu_grn.h"
#include "kernels/simd_math.h"

namespace transfer_limits {
namespace {

constexpr int64_t kBlock = 64;  // rows whose sums are kept in float32
constexpr int64_t kWorthwhile =
    1 << 16;  // values for which another thread is worth while: some 50 microseconds

// out = gelu(hidden + bias) * keep; squares += out^2
TRANSFER_LIMITS_VECTORISED
void activate_row(const float* hidden, const float* bias, float keep, int64_t features, float* out,
                  float* squares) {
#pragma GCC ivdep
  for (int64_t f = 0; f < features; ++f) {
    const float x = hidden[f] + bias[f];
    const float y = x * normal_at(x).below * keep;
    out[f] = y;
    squares[f] += y * y;
  }
}

// gradient = (gradient + activated * slope) * keep * gelu'(hidden + bias); sums += gradient
TRANSFER_LIMITS_VECTORISED
void differentiate_row(const float* hidden, const float* bias, const float* activated, const float* slope,
                       float keep, int64_t features, float* gradient, float* sums) {
#pragma GCC ivdep
  for (int64_t f = 0; f < features; ++f) {
    const float x = hidden[f] + bias[f];
    const Normal normal = normal_at(x);
    const float value =
        (gradient[f] + activated[f] * slope[f]) * (keep * (normal.below + x * normal.density));
    gradient[f] = value;
    sums[f] += value;
  }
}

// sums += weight * plain; plain = plain * scale + to_bias * beta
TRANSFER_LIMITS_VECTORISED
void scale_row(const float* weight, const float* scale, float to_bias, const float* beta, int64_t features,
               float* plain, double* sums) {
#pragma GCC ivdep
  for (int64_t f = 0; f < features; ++f) {
    sums[f] += static_cast<double>(weight[f] * plain[f]);
    plain[f] = plain[f] * scale[f] + to_bias * beta[f];
  }
}

struct Rows {
  int64_t samples, voxels, features;
  int64_t blocks() const { return (voxels + kBlock - 1) / kBlock; }  // of one sample
};

Rows rows_of(const at::Tensor& x) {
  require(x.dim() == 3 && x.scalar_type() == at::kFloat && x.device().is_cpu() && x.is_contiguous(),
          "Expected dense float32 rows [N, V, F] on the CPU but received ", x.sizes());
  return {x.size(0), x.size(1), x.size(2)};
}

const float* values_of(const at::Tensor& x, at::IntArrayRef sizes) {
  require(x.sizes() == sizes && x.scalar_type() == at::kFloat && x.is_contiguous(),
          "Expected a dense float32 tensor ", sizes, " but received ", x.sizes());
  return x.const_data_ptr<float>();
}

// Calls `visit(sample, row, sums)` for every row, and answers the sums over the rows of each sample, [N, F] in float64.
// Each block of rows has sums of its own, which are added in order.
template <typename Visit>
std::vector<double> summed_over_rows(const Rows& rows, const Visit& visit) {
  std::vector<float> partial(rows.samples * rows.blocks() * rows.features, 0.0f);
  const int64_t grain = std::max<int64_t>(1, kWorthwhile / std::max<int64_t>(1, kBlock * rows.features));
  at::parallel_for(0, rows.samples * rows.blocks(), grain, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t sample = block / rows.blocks();
      const int64_t first = block % rows.blocks() * kBlock;
      const int64_t last = std::min(first + kBlock, rows.voxels);
      for (int64_t voxel = first; voxel < last; ++voxel) {
        visit(sample, sample * rows.voxels + voxel, partial.data() + block * rows.features);
      }
    }
  });
  std::vector<double> sums(rows.samples * rows.features, 0.0);
  for (int64_t block = 0; block < rows.samples * rows.blocks(); ++block) {
    double* target = sums.data() + block / rows.blocks() * rows.features;
    for (int64_t f = 0; f < rows.features; ++f) target[f] += partial[block * rows.features + f];
  }
  return sums;
}

}  // namespace

std::pair<at::Tensor, at::Tensor> gelu_with_norms(const at::Tensor& hidden, const at::Tensor& bias,
                                                  const at::Tensor& keep, bool in_place) {
  if (hidden.is_cuda()) return cuda::gelu_with_norms(hidden, bias, keep, in_place);
  const Rows rows = rows_of(hidden);
  const float* in = hidden.const_data_ptr<float>();
  const float* offsets = values_of(bias, {rows.features});
  const float* kept = keep.defined() ? values_of(keep, {rows.samples, rows.voxels}) : nullptr;
  at::Tensor activated = in_place ? hidden : at::empty_like(hidden);
  float* out = activated.data_ptr<float>();
  const auto squares = summed_over_rows(rows, [&](int64_t, int64_t row, float* sums) {
    activate_row(in + row * rows.features, offsets, kept == nullptr ? 1.0f : kept[row], rows.features,
                 out + row * rows.features, sums);
  });
  at::Tensor norms = at::empty({rows.samples, rows.features}, hidden.options());
  float* norm = norms.data_ptr<float>();
  for (size_t i = 0; i < squares.size(); ++i) norm[i] = static_cast<float>(std::sqrt(squares[i]));
  return {activated, norms};
}

at::Tensor gelu_grn_backward(at::Tensor& gradient, const at::Tensor& activated, const at::Tensor& hidden,
                             const at::Tensor& bias, const at::Tensor& keep, const at::Tensor& slope) {
  if (hidden.is_cuda()) return cuda::gelu_grn_backward(gradient, activated, hidden, bias, keep, slope);
  const Rows rows = rows_of(hidden);
  const float* in = hidden.const_data_ptr<float>();
  const float* offsets = values_of(bias, {rows.features});
  const float* out = values_of(activated, hidden.sizes());
  const float* slopes = values_of(slope, {rows.samples, rows.features});
  const float* kept = keep.defined() ? values_of(keep, {rows.samples, rows.voxels}) : nullptr;
  values_of(gradient, hidden.sizes());
  float* result = gradient.data_ptr<float>();
  const auto sums = summed_over_rows(rows, [&](int64_t sample, int64_t row, float* own) {
    const int64_t start = row * rows.features;
    differentiate_row(in + start, offsets, out + start, slopes + sample * rows.features,
                      kept == nullptr ? 1.0f : kept[row], rows.features, result + start, own);
  });
  at::Tensor to_bias = at::empty({rows.features}, hidden.options());
  float* total = to_bias.data_ptr<float>();
  for (int64_t f = 0; f < rows.features; ++f) {
    double sum = 0;
    for (int64_t sample = 0; sample < rows.samples; ++sample) sum += sums[sample * rows.features + f];
    total[f] = static_cast<float>(sum);
  }
  return to_bias;
}

at::Tensor weight_gradient_on_grn(at::Tensor& plain, const at::Tensor& weight, const at::Tensor& scale,
                                  const at::Tensor& to_bias, const at::Tensor& beta) {
  if (weight.is_cuda()) return cuda::weight_gradient_on_grn(plain, weight, scale, to_bias, beta);
  constexpr int64_t kFeatures = 256;  // at a time
  const int64_t outputs = weight.size(0), features = weight.size(1);
  const float* weights = values_of(weight, {outputs, features});
  const float* scales = values_of(scale, {features});
  const float* bias = values_of(to_bias, {outputs});
  const float* betas = values_of(beta, {features});
  values_of(plain, weight.sizes());
  float* result = plain.data_ptr<float>();
  at::Tensor to_scale = at::empty({features}, weight.options());
  float* total = to_scale.data_ptr<float>();
  const int64_t grain = std::max<int64_t>(1, kWorthwhile / std::max<int64_t>(1, kFeatures * outputs));
  at::parallel_for(0, (features + kFeatures - 1) / kFeatures, grain, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = block * kFeatures;
      const int64_t count = std::min(kFeatures, features - first);
      double sums[kFeatures] = {};
      for (int64_t row = 0; row < outputs; ++row) {
        const int64_t start = row * features + first;
        scale_row(weights + start, scales + first, bias[row], betas + first, count, result + start, sums);
      }
      for (int64_t f = 0; f < count; ++f) total[first + f] = static_cast<float>(sums[f]);
    }
  });
  return to_scale;
}

}  // namespace transfer_limits
