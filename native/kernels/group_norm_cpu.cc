#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "error.h"
#include "kernels/group_norm.h"
#include "kernels/simd_math.h"

namespace transfer_limits {
namespace {

// Voxels lie one after the other, each with its channels. A row is as many voxels as fill this many lanes, so that loops
// over few channels are long enough for vector instructions.
constexpr int64_t kLanes = 256;
constexpr int64_t kRowsOfBlock = 64;        // whose sums are kept in float32
constexpr int64_t kWorthAThread = 1 << 16;  // values for which another thread is worth while

constexpr float kSlope = float(kLeakySlope);

struct Layout {
  int64_t samples, channels, voxels, groups;
  int64_t voxels_of_row() const { return std::max<int64_t>(1, kLanes / channels); }
  int64_t lanes() const { return voxels_of_row() * channels; }
  int64_t voxels_of_block() const { return kRowsOfBlock * voxels_of_row(); }
  int64_t blocks() const { return (voxels + voxels_of_block() - 1) / voxels_of_block(); }  // of one sample
};

Layout layout_of(const at::Tensor& x, int64_t groups) {
  require(x.dim() == 5 && x.scalar_type() == at::kFloat && x.device().is_cpu() &&
              x.is_contiguous(at::MemoryFormat::ChannelsLast3d) && x.numel() > 0,
          "Expected a float32 volume [N, C, D, H, W] in channels-last memory on the CPU but received ",
          x.sizes());
  require(groups > 0 && x.size(1) % groups == 0, "Expected groups that divide ", x.size(1),
          " channels but received ", groups);
  return {x.size(0), x.size(1), x.size(2) * x.size(3) * x.size(4), groups};
}

const float* values_beside(const at::Tensor& x, const at::Tensor& other) {
  require(other.sizes() == x.sizes() && other.scalar_type() == at::kFloat &&
              other.is_contiguous(at::MemoryFormat::ChannelsLast3d),
          "Expected a float32 volume as large as ", x.sizes(), " in channels-last memory but received ",
          other.sizes());
  return other.const_data_ptr<float>();
}

// One number a channel, `fallback` where there are none.
std::vector<float> of_channels(const at::Tensor& tensor, int64_t channels, float fallback) {
  if (!tensor.defined()) return std::vector<float>(channels, fallback);
  require(tensor.dim() == 1 && tensor.size(0) == channels && tensor.scalar_type() == at::kFloat, "Expected ",
          channels, " float32 numbers but received ", tensor.sizes());
  const at::Tensor dense = tensor.contiguous();
  const float* first = dense.const_data_ptr<float>();
  return {first, first + channels};
}

// Numbers by channel, again and again until a row is full.
std::vector<float> in_lanes(const Layout& layout, const float* by_channel) {
  std::vector<float> result(layout.lanes());
  for (size_t lane = 0; lane < result.size(); ++lane) result[lane] = by_channel[lane % layout.channels];
  return result;
}

// Calls visit(sample, first value, values) for the values of each block of voxels, blocks side by side.
template <typename Visit>
void over_blocks(const Layout& layout, const Visit& visit) {
  const int64_t of_block = layout.voxels_of_block() * layout.channels;
  const int64_t grain = std::max<int64_t>(1, kWorthAThread / of_block);
  at::parallel_for(0, layout.samples * layout.blocks(), grain, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t sample = block / layout.blocks();
      const int64_t first = block % layout.blocks() * layout.voxels_of_block();
      const int64_t voxels = std::min(layout.voxels_of_block(), layout.voxels - first);
      visit(sample, (sample * layout.voxels + first) * layout.channels, voxels * layout.channels, block);
    }
  });
}

// Two sums a channel and sample over all voxels. `add(sample, first, values, one, other)` adds those of a block to two rows
// of lanes. Answers [samples x channels] twice, in float64: blocks are added in order.
template <typename Add>
std::pair<std::vector<double>, std::vector<double>> summed(const Layout& layout, const Add& add) {
  const int64_t lanes = layout.lanes();
  std::vector<float> partial(2 * layout.samples * layout.blocks() * lanes, 0.0f);
  over_blocks(layout, [&](int64_t sample, int64_t first, int64_t values, int64_t block) {
    float* own = partial.data() + 2 * block * lanes;
    add(sample, first, values, own, own + lanes);
  });
  std::pair<std::vector<double>, std::vector<double>> result;
  for (auto* sums : {&result.first, &result.second}) sums->assign(layout.samples * layout.channels, 0.0);
  for (int64_t block = 0; block < layout.samples * layout.blocks(); ++block) {
    const float* own = partial.data() + 2 * block * lanes;
    const int64_t target = block / layout.blocks() * layout.channels;
    for (int64_t lane = 0; lane < lanes; ++lane) {
      result.first[target + lane % layout.channels] += own[lane];
      result.second[target + lane % layout.channels] += own[lanes + lane];
    }
  }
  return result;
}

void refuse_silu_after_residual(AfterNorm activation, bool with_residual) {
  require(activation != AfterNorm::kSilu || !with_residual, "A SiLU after a residual is not implemented");
}

// The logistic function, to 2e-7.
TRANSFER_LIMITS_INLINE float logistic(float x) {
  const float fall = exp_of_negative(x < 0.0f ? x : -x);
  const float share = 1.0f / (1.0f + fall);
  return x < 0.0f ? fall * share : share;
}

// one += x - pivot; other += (x - pivot)^2
TRANSFER_LIMITS_VECTORISED
void add_moments(const float* x, const float* pivot, int64_t values, int64_t lanes, float* one,
                 float* other) {
  for (int64_t start = 0; start < values; start += lanes) {
    const int64_t end = std::min(lanes, values - start);
#pragma GCC ivdep
    for (int64_t lane = 0; lane < end; ++lane) {
      const float off = x[start + lane] - pivot[lane];
      one[lane] += off;
      other[lane] += off * off;
    }
  }
}

template <AfterNorm activation>
TRANSFER_LIMITS_INLINE float activated(float z) {
  if constexpr (activation == AfterNorm::kLeakyRelu) return z > 0.0f ? z : kSlope * z;
  if constexpr (activation == AfterNorm::kSilu) return z * logistic(z);
  return z;
}

// y = activation((x - mean) * scale + shift [+ residual])
template <AfterNorm activation, bool with_residual>
TRANSFER_LIMITS_INLINE void normalise(const float* x, const float* residual, const float* mean,
                                      const float* scale, const float* shift, int64_t values, int64_t lanes,
                                      float* y) {
  for (int64_t start = 0; start < values; start += lanes) {
    const int64_t end = std::min(lanes, values - start);
#pragma GCC ivdep
    for (int64_t lane = 0; lane < end; ++lane) {
      float z = (x[start + lane] - mean[lane]) * scale[lane] + shift[lane];
      if constexpr (with_residual) z += residual[start + lane];
      y[start + lane] = activated<activation>(z);
    }
  }
}

TRANSFER_LIMITS_VECTORISED
void normalise_block(AfterNorm activation, const float* x, const float* residual, const float* mean,
                     const float* scale, const float* shift, int64_t values, int64_t lanes, float* y) {
  const bool leaky = activation == AfterNorm::kLeakyRelu;
  const bool silu = activation == AfterNorm::kSilu;
  if (residual == nullptr) {
    if (leaky)
      normalise<AfterNorm::kLeakyRelu, false>(x, residual, mean, scale, shift, values, lanes, y);
    else if (silu)
      normalise<AfterNorm::kSilu, false>(x, residual, mean, scale, shift, values, lanes, y);
    else
      normalise<AfterNorm::kNone, false>(x, residual, mean, scale, shift, values, lanes, y);
  } else if (leaky) {
    normalise<AfterNorm::kLeakyRelu, true>(x, residual, mean, scale, shift, values, lanes, y);
  } else {
    normalise<AfterNorm::kNone, true>(x, residual, mean, scale, shift, values, lanes, y);
  }
}

// before = gradient * activation'; one += before; other += before * (x - mean)
template <AfterNorm activation>
TRANSFER_LIMITS_INLINE void differentiate(const float* gradient, const float* x, const float* y,
                                          const float* mean, const float* scale, const float* shift,
                                          int64_t values, int64_t lanes, float* before, float* one,
                                          float* other) {
  for (int64_t start = 0; start < values; start += lanes) {
    const int64_t end = std::min(lanes, values - start);
#pragma GCC ivdep
    for (int64_t lane = 0; lane < end; ++lane) {
      const float off = x[start + lane] - mean[lane];
      float value = gradient[start + lane];
      if constexpr (activation == AfterNorm::kLeakyRelu) value *= y[start + lane] > 0.0f ? 1.0f : kSlope;
      if constexpr (activation == AfterNorm::kSilu) {
        const float z = off * scale[lane] + shift[lane];
        const float share = logistic(z);
        value *= share * (1.0f + z * (1.0f - share));
      }
      before[start + lane] = value;
      one[lane] += value;
      other[lane] += value * off;
    }
  }
}

TRANSFER_LIMITS_VECTORISED
void differentiate_block(AfterNorm activation, const float* gradient, const float* x, const float* y,
                         const float* mean, const float* scale, const float* shift, int64_t values,
                         int64_t lanes, float* before, float* one, float* other) {
  if (activation == AfterNorm::kLeakyRelu)
    differentiate<AfterNorm::kLeakyRelu>(gradient, x, y, mean, scale, shift, values, lanes, before, one,
                                         other);
  else if (activation == AfterNorm::kSilu)
    differentiate<AfterNorm::kSilu>(gradient, x, y, mean, scale, shift, values, lanes, before, one, other);
  else
    differentiate<AfterNorm::kNone>(gradient, x, y, mean, scale, shift, values, lanes, before, one, other);
}

// out = before * scale + (x - mean) * slope + offset
TRANSFER_LIMITS_VECTORISED
void combine(const float* before, const float* x, const float* scale, const float* mean, const float* slope,
             const float* offset, int64_t values, int64_t lanes, float* out) {
  for (int64_t start = 0; start < values; start += lanes) {
    const int64_t end = std::min(lanes, values - start);
#pragma GCC ivdep
    for (int64_t lane = 0; lane < end; ++lane) {
      out[start + lane] =
          before[start + lane] * scale[lane] + (x[start + lane] - mean[lane]) * slope[lane] + offset[lane];
    }
  }
}

// What a sample's norm does to each channel, in lanes.
struct InLanes {
  std::vector<float> mean, scale, shift;
};

std::vector<InLanes> lanes_of_samples(const Layout& layout, const float* means, const float* inverses,
                                      const std::vector<float>& weight, const std::vector<float>& bias) {
  std::vector<InLanes> result;
  const int64_t of_group = layout.channels / layout.groups;
  std::vector<float> mean(layout.channels), scale(layout.channels);
  for (int64_t sample = 0; sample < layout.samples; ++sample) {
    for (int64_t channel = 0; channel < layout.channels; ++channel) {
      const int64_t group = sample * layout.groups + channel / of_group;
      mean[channel] = means[group];
      scale[channel] = inverses[group] * weight[channel];
    }
    result.push_back(
        {in_lanes(layout, mean.data()), in_lanes(layout, scale.data()), in_lanes(layout, bias.data())});
  }
  return result;
}

// Means and inverse standard deviations, [2, N, groups].
at::Tensor statistics_of(const Layout& layout, const float* x, const at::TensorOptions& options) {
  // Squares of what is far from 0 would lose digits: moments are about the first voxel.
  std::vector<std::vector<float>> pivots;
  pivots.reserve(layout.samples);
  for (int64_t sample = 0; sample < layout.samples; ++sample)
    pivots.push_back(in_lanes(layout, x + sample * layout.voxels * layout.channels));
  const auto [sums, squares] =
      summed(layout, [&](int64_t sample, int64_t first, int64_t values, float* one, float* other) {
        add_moments(x + first, pivots[sample].data(), values, layout.lanes(), one, other);
      });
  at::Tensor result = at::empty({2, layout.samples, layout.groups}, options);
  float* means = result.data_ptr<float>();
  float* inverses = means + layout.samples * layout.groups;
  const int64_t of_group = layout.channels / layout.groups;
  const double count = double(layout.voxels);
  for (int64_t group = 0; group < layout.samples * layout.groups; ++group) {
    const int64_t sample = group / layout.groups;
    const int64_t first = group * of_group;  // of [samples x channels]
    double mean = 0;
    for (int64_t i = 0; i < of_group; ++i) {
      mean += (sums[first + i] / count + double(pivots[sample][(first + i) % layout.channels])) /
              double(of_group);
    }
    double variance = 0;  // of each channel about its mean, and of the channels' means about the group's
    for (int64_t i = 0; i < of_group; ++i) {
      const double own = sums[first + i] / count;
      const double off = own + double(pivots[sample][(first + i) % layout.channels]) - mean;
      variance += (std::max(0.0, squares[first + i] / count - own * own) + off * off) / double(of_group);
    }
    means[group] = float(mean);
    inverses[group] = float(1.0 / std::sqrt(variance + kNormEpsilon));
  }
  return result;
}

}  // namespace

std::pair<at::Tensor, at::Tensor> group_norm_activated(const at::Tensor& x, int64_t groups,
                                                       const at::Tensor& weight, const at::Tensor& bias,
                                                       const at::Tensor& residual, AfterNorm activation) {
  refuse_silu_after_residual(activation, residual.defined());
  if (x.is_cuda()) return cuda::group_norm_activated(x, groups, weight, bias, residual, activation);
  const Layout layout = layout_of(x, groups);
  const float* in = x.const_data_ptr<float>();
  const float* beside = residual.defined() ? values_beside(x, residual) : nullptr;
  at::Tensor statistics = statistics_of(layout, in, x.options());
  const float* means = statistics.const_data_ptr<float>();
  const auto lanes =
      lanes_of_samples(layout, means, means + layout.samples * groups,
                       of_channels(weight, layout.channels, 1), of_channels(bias, layout.channels, 0));
  at::Tensor y = at::empty_like(x);
  float* out = y.data_ptr<float>();
  over_blocks(layout, [&](int64_t sample, int64_t first, int64_t values, int64_t) {
    const auto& [mean, scale, shift] = lanes[sample];
    normalise_block(activation, in + first, beside == nullptr ? nullptr : beside + first, mean.data(),
                    scale.data(), shift.data(), values, layout.lanes(), out + first);
  });
  return {y, statistics};
}

GroupNormGradients group_norm_backward(const at::Tensor& gradient, const at::Tensor& x, const at::Tensor& y,
                                       const at::Tensor& statistics, int64_t groups, const at::Tensor& weight,
                                       const at::Tensor& bias, bool with_residual, AfterNorm activation) {
  refuse_silu_after_residual(activation, with_residual);
  if (x.is_cuda())
    return cuda::group_norm_backward(gradient, x, y, statistics, groups, weight, bias, with_residual,
                                     activation);
  const Layout layout = layout_of(x, groups);
  const float* in = x.const_data_ptr<float>();
  const float* incoming = values_beside(x, gradient);
  const float* answered = activation == AfterNorm::kLeakyRelu ? values_beside(x, y) : nullptr;
  const float* means = statistics.const_data_ptr<float>();
  const float* inverses = means + layout.samples * groups;
  const auto weights = of_channels(weight, layout.channels, 1);
  const auto lanes =
      lanes_of_samples(layout, means, inverses, weights, of_channels(bias, layout.channels, 0));

  GroupNormGradients result;
  result.x = at::empty_like(x);
  float* out = result.x.data_ptr<float>();
  // The gradient before the activation is the residual's; where there is none, it lies where that of x will.
  float* before = out;
  if (with_residual) {
    result.residual = at::empty_like(x);
    before = result.residual.data_ptr<float>();
  }
  const auto [sums, products] =
      summed(layout, [&](int64_t sample, int64_t first, int64_t values, float* one, float* other) {
        const auto& [mean, scale, shift] = lanes[sample];
        differentiate_block(activation, incoming + first, in + first,
                            answered == nullptr ? nullptr : answered + first, mean.data(), scale.data(),
                            shift.data(), values, layout.lanes(), before + first, one, other);
      });

  result.weight = at::empty({layout.channels}, x.options());
  result.bias = at::empty({layout.channels}, x.options());
  const int64_t of_group = layout.channels / groups;
  for (int64_t channel = 0; channel < layout.channels; ++channel) {
    double to_weight = 0, to_bias = 0;
    for (int64_t sample = 0; sample < layout.samples; ++sample) {
      const double inverse = inverses[sample * groups + channel / of_group];
      to_weight += products[sample * layout.channels + channel] * inverse;
      to_bias += sums[sample * layout.channels + channel];
    }
    result.weight.data_ptr<float>()[channel] = float(to_weight);
    result.bias.data_ptr<float>()[channel] = float(to_bias);
  }

  // dx = weight / sd * before - mean of (weight * before) / sd - (x - mean) / sd^3 * mean of (weight * before * (x - mean))
  std::vector<std::vector<float>> slopes, offsets;
  std::vector<float> slope(layout.channels), offset(layout.channels);
  for (int64_t sample = 0; sample < layout.samples; ++sample) {
    for (int64_t group = 0; group < groups; ++group) {
      double sum = 0, product = 0;
      for (int64_t channel = group * of_group; channel < (group + 1) * of_group; ++channel) {
        sum += weights[channel] * sums[sample * layout.channels + channel];
        product += weights[channel] * products[sample * layout.channels + channel];
      }
      const double count = double(of_group) * double(layout.voxels);
      const double inverse = inverses[sample * groups + group];
      for (int64_t channel = group * of_group; channel < (group + 1) * of_group; ++channel) {
        slope[channel] = float(-inverse * inverse * inverse * product / count);
        offset[channel] = float(-inverse * sum / count);
      }
    }
    slopes.push_back(in_lanes(layout, slope.data()));
    offsets.push_back(in_lanes(layout, offset.data()));
  }
  over_blocks(layout, [&](int64_t sample, int64_t first, int64_t values, int64_t) {
    combine(before + first, in + first, lanes[sample].scale.data(), lanes[sample].mean.data(),
            slopes[sample].data(), offsets[sample].data(), values, layout.lanes(), out + first);
  });
  return result;
}

}  // namespace transfer_limits
