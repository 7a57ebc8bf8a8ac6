#include <ATen/Parallel.h>
#include <ATen/Version.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "error.h"
#include "kernels/depthwise_conv3d.h"

namespace transfer_limits {
namespace {

constexpr int kKernel = 7;  // the size that has its own code
constexpr int kRadius = kKernel / 2;

// A volume [N, D, H, W, C] in memory.
struct Shape {
  int64_t samples, depth, height, width, channels;
  int64_t plane() const { return height * width * channels; }
  int64_t volume() const { return depth * plane(); }
};

// Some neighbouring voxels along x in all rows of a plane.
struct Column {
  int64_t height, width;             // of the plane
  int64_t row_stride, voxel_stride;  // in values
  int64_t first;                     // voxel along x
};

// The inner loops for one number of channels at a time, by the number of voxels along x (from 1), and whether the
// column may look beyond the ends of a row.
struct Columns {
  using Convolve = void (*)(const Column&, const float*, const float*, const float*, float*);
  using Correlate = void (*)(const Column&, const float*, const float*, float*);
  int64_t lanes = 0;
  int64_t longest = 0;
  std::vector<std::array<Convolve, 2>> convolve;
  std::vector<std::array<Correlate, 2>> correlate;
};

#if defined(__x86_64__)
#include "kernels/simd_avx512.inc"
#define SIMD_COLUMN 14
#include "kernels/depthwise_conv3d_columns.inc"
// And again:
#include "kernels/simd_avx2.inc"
#define SIMD_COLUMN 8
#include "kernels/depthwise_conv3d_columns.inc"
#endif

#include "kernels/simd_baseline.inc"
#define SIMD_COLUMN 6
#include "kernels/depthwise_conv3d_columns.inc"

// By what the processor can do, in LibTorch's judgement (and its environment variable ATEN_CPU_CAPABILITY).
const std::vector<Columns>& columns_here() {
  static const std::vector<Columns> columns = [] {
#if defined(__x86_64__)
    const std::string capability = at::get_cpu_capability();
    if (capability == "AVX512") return avx512::all_columns();
    if (capability == "AVX2") return avx2::all_columns();
#endif
    return baseline::all_columns();
  }();
  return columns;
}

// Channels from `first`, as many as `columns` takes at a time; or the last few, one after another, where it is null.
struct Block {
  int64_t first, channels;
  const Columns* columns;
};

std::vector<Block> blocks_of(int64_t channels, bool specialised) {
  std::vector<Block> blocks;
  int64_t first = 0;
  if (specialised) {
    for (const Columns& columns : columns_here()) {
      for (; channels - first >= columns.lanes; first += columns.lanes) {
        blocks.push_back({first, columns.lanes, &columns});
      }
    }
  }
  // Without special code: still in blocks, so that threads have something to share.
  for (constexpr int64_t kMost = 16; first < channels; first += kMost) {
    blocks.push_back({first, std::min(kMost, channels - first), nullptr});
  }
  return blocks;
}

// Calls `visit(column, edge, count)` for the columns of a plane, of nearly equal width.
template <typename Visit>
void for_columns(const Shape& shape, const Columns& columns, const Visit& visit) {
  const int64_t pieces = (shape.width + columns.longest - 1) / columns.longest;
  Column column{shape.height, shape.width, shape.width * shape.channels, shape.channels, 0};
  for (int64_t piece = 0; piece < pieces; ++piece) {
    const int64_t count = shape.width * (piece + 1) / pieces - column.first;
    const bool edge = column.first < kRadius || column.first + count + kRadius > shape.width;
    visit(column, edge, count);
    column.first += count;
  }
}

// The planes of the kernel that meet the volume where its middle is at plane z.
std::pair<int64_t, int64_t> valid_taps(int64_t position, int64_t size, int64_t kernel) {
  const int64_t radius = kernel / 2;
  return {std::max<int64_t>(0, radius - position), std::min(kernel, size + radius - position)};
}

void convolve_plane(const Shape& shape, const Block& block, int64_t z, const float* in, const float* weight,
                    const float* bias, float* out) {
  const auto [low, high] = valid_taps(z, shape.depth, kKernel);
  for_columns(shape, *block.columns, [&](const Column& column, bool edge, int64_t count) {
    for (int64_t kz = low; kz < high; ++kz) {
      block.columns->convolve[count][edge](column, in + (z + kz - kRadius) * shape.plane(),
                                           weight + kz * kKernel * kKernel * block.channels,
                                           kz == low ? bias : nullptr, out + z * shape.plane());
    }
  });
}

// Any kernel, any number of channels up to 16.
template <typename Value>
void convolve_plane_plainly(const Shape& shape, const Block& block, int64_t kernel, int64_t z,
                            const Value* in, const Value* weight, const Value* bias, Value* out) {
  const int64_t radius = kernel / 2;
  const auto [z_low, z_high] = valid_taps(z, shape.depth, kernel);
  for (int64_t y = 0; y < shape.height; ++y) {
    const auto [y_low, y_high] = valid_taps(y, shape.height, kernel);
    for (int64_t x = 0; x < shape.width; ++x) {
      const auto [x_low, x_high] = valid_taps(x, shape.width, kernel);
      Value sum[16];
      for (int64_t c = 0; c < block.channels; ++c) sum[c] = bias[c];
      for (int64_t kz = z_low; kz < z_high; ++kz) {
        for (int64_t ky = y_low; ky < y_high; ++ky) {
          for (int64_t kx = x_low; kx < x_high; ++kx) {
            const Value* value =
                in + (((z + kz - radius) * shape.height + y + ky - radius) * shape.width + x + kx - radius) *
                         shape.channels;
            const Value* tap = weight + ((kz * kernel + ky) * kernel + kx) * block.channels;
            for (int64_t c = 0; c < block.channels; ++c) sum[c] += value[c] * tap[c];
          }
        }
      }
      Value* result = out + ((z * shape.height + y) * shape.width + x) * shape.channels;
      for (int64_t c = 0; c < block.channels; ++c) result[c] = sum[c];
    }
  }
}

// sums [k, k, k, channels of the block] += what plane z of the gradient gives.
void correlate_plane(const Shape& shape, const Block& block, int64_t z, const float* in,
                     const float* gradient, float* sums) {
  const auto [low, high] = valid_taps(z, shape.depth, kKernel);
  for_columns(shape, *block.columns, [&](const Column& column, bool edge, int64_t count) {
    for (int64_t kz = low; kz < high; ++kz) {
      block.columns->correlate[count][edge](column, in + (z + kz - kRadius) * shape.plane(),
                                            gradient + z * shape.plane(),
                                            sums + kz * kKernel * kKernel * block.channels);
    }
  });
}

template <typename Value>
void correlate_plane_plainly(const Shape& shape, const Block& block, int64_t kernel, int64_t z,
                             const Value* in, const Value* gradient, Value* sums) {
  const int64_t radius = kernel / 2;
  const auto [z_low, z_high] = valid_taps(z, shape.depth, kernel);
  for (int64_t y = 0; y < shape.height; ++y) {
    const auto [y_low, y_high] = valid_taps(y, shape.height, kernel);
    for (int64_t x = 0; x < shape.width; ++x) {
      const auto [x_low, x_high] = valid_taps(x, shape.width, kernel);
      const Value* wanted = gradient + ((z * shape.height + y) * shape.width + x) * shape.channels;
      for (int64_t kz = z_low; kz < z_high; ++kz) {
        for (int64_t ky = y_low; ky < y_high; ++ky) {
          for (int64_t kx = x_low; kx < x_high; ++kx) {
            const Value* value =
                in + (((z + kz - radius) * shape.height + y + ky - radius) * shape.width + x + kx - radius) *
                         shape.channels;
            Value* sum = sums + ((kz * kernel + ky) * kernel + kx) * block.channels;
            for (int64_t c = 0; c < block.channels; ++c) sum[c] += value[c] * wanted[c];
          }
        }
      }
    }
  }
}

// weight [C, k^3] as [k^3, channels] of each block, one block after another; flipped where it is asked for.
template <typename Value>
std::vector<Value> packed_weight(const at::Tensor& weight, const std::vector<Block>& blocks, bool flipped) {
  const int64_t taps = weight.numel() / weight.size(0);
  const Value* source = weight.const_data_ptr<Value>();
  std::vector<Value> packed(weight.numel());
  Value* target = packed.data();
  for (const Block& block : blocks) {
    for (int64_t tap = 0; tap < taps; ++tap) {
      const int64_t from = flipped ? taps - 1 - tap : tap;
      for (int64_t c = 0; c < block.channels; ++c) *target++ = source[(block.first + c) * taps + from];
    }
  }
  return packed;
}

// How many tasks, of so many multiplications each, are worth another thread: some 50 microseconds.
int64_t tasks_a_thread(int64_t multiplications) {
  constexpr int64_t kWorthwhile = 1 << 21;
  return std::max<int64_t>(1, kWorthwhile / std::max<int64_t>(1, multiplications));
}

Shape shape_of(const at::Tensor& x) { return {x.size(0), x.size(2), x.size(3), x.size(4), x.size(1)}; }

// float32 or float64, channels-last and dense.
at::Tensor prepared(const at::Tensor& x, at::ScalarType type) {
  return x.detach().to(type).contiguous(at::MemoryFormat::ChannelsLast3d);
}

at::ScalarType computed_type(const at::Tensor& x) {
  const at::ScalarType type = x.scalar_type();
  require(type == at::kFloat || type == at::kDouble || type == at::kBFloat16,
          "Expected float32, float64 or bfloat16 for the depthwise convolution but received ",
          at::toString(type));
  return type == at::kDouble ? at::kDouble : at::kFloat;
}

void check(const at::Tensor& x, int64_t channels, int64_t kernel) {
  require(x.is_cpu() || x.is_cuda(), "Expected a volume on the CPU or on CUDA but received one on ",
          x.device().str());
  require(x.dim() == 5, "Expected a volume [N, C, D, H, W] for the depthwise convolution but received ",
          x.sizes());
  require(x.size(1) == channels, "Expected ", channels,
          " channels for the depthwise convolution but received ", x.sizes());
  require(channels >= 1, "Expected at least one channel for the depthwise convolution but received ",
          x.sizes());
  require(kernel >= 1 && kernel % 2 == 1,
          "Expected an odd kernel for the depthwise convolution but received ", kernel);
}

void check_weight(const at::Tensor& weight) {
  require(weight.dim() == 5 && weight.size(1) == 1 && weight.size(2) == weight.size(3) &&
              weight.size(2) == weight.size(4),
          "Expected a weight [C, 1, k, k, k] for the depthwise convolution but received ", weight.sizes());
}

// `bias` [C], `x` and `weight` are dense and of one type.
template <typename Value>
at::Tensor convolve(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, bool flipped) {
  const Shape shape = shape_of(x);
  const int64_t kernel = weight.size(2);
  const int64_t taps = kernel * kernel * kernel;
  const auto blocks = blocks_of(shape.channels, kernel == kKernel && std::is_same_v<Value, float>);
  const auto count = static_cast<int64_t>(blocks.size());
  const std::vector<Value> packed = packed_weight<Value>(weight, blocks, flipped);
  at::Tensor out = at::empty(x.sizes(), x.options(), at::MemoryFormat::ChannelsLast3d);
  const Value* in = x.const_data_ptr<Value>();
  const Value* start = bias.const_data_ptr<Value>();
  Value* result = out.data_ptr<Value>();
  const int64_t grain = tasks_a_thread(shape.height * shape.width * taps * shape.channels / count);
  at::parallel_for(0, shape.samples * count * shape.depth, grain, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t z = task % shape.depth;
      const Block& block = blocks[task / shape.depth % count];
      const int64_t offset = task / shape.depth / count * shape.volume() + block.first;
      const Value* own = packed.data() + block.first * taps;
      if constexpr (std::is_same_v<Value, float>) {
        if (block.columns != nullptr) {
          convolve_plane(shape, block, z, in + offset, own, start + block.first, result + offset);
          continue;
        }
      }
      convolve_plane_plainly(shape, block, kernel, z, in + offset, own, start + block.first, result + offset);
    }
  });
  return out;
}

// The planes of all samples in groups, whose sums are added in order: the partition depends on the shape alone.
int64_t planes_per_group(const Shape& shape) {
  constexpr int64_t kFewestPlanes = 8;
  constexpr int64_t kMostGroups = 16;
  return std::max(kFewestPlanes, (shape.samples * shape.depth + kMostGroups - 1) / kMostGroups);
}

// What planes [first, last) of all samples give to one block: [k^3, channels] for the weight, then [channels] for the
// bias, added to `sums`.
template <typename Value>
void add_planes(const Shape& shape, const Block& block, int64_t kernel, int64_t first, int64_t last,
                const Value* in, const Value* gradient, double* sums) {
  const int64_t weights = kernel * kernel * kernel * block.channels;
  std::vector<Value> plane(weights + block.channels);
  for (int64_t index = first; index < last; ++index) {
    const int64_t z = index % shape.depth;
    const int64_t offset = index / shape.depth * shape.volume() + block.first;
    std::fill(plane.begin(), plane.end(), Value(0));
    bool done = false;
    if constexpr (std::is_same_v<Value, float>) {
      if (block.columns != nullptr) {
        correlate_plane(shape, block, z, in + offset, gradient + offset, plane.data());
        done = true;
      }
    }
    if (!done) correlate_plane_plainly(shape, block, kernel, z, in + offset, gradient + offset, plane.data());
    for (int64_t y = 0; y < shape.height; ++y) {
      Value row[16] = {};
      const Value* wanted = gradient + offset + z * shape.plane() + y * shape.width * shape.channels;
      for (int64_t x = 0; x < shape.width; ++x, wanted += shape.channels) {
        for (int64_t c = 0; c < block.channels; ++c) row[c] += wanted[c];
      }
      for (int64_t c = 0; c < block.channels; ++c) plane[weights + c] += row[c];
    }
    for (size_t i = 0; i < plane.size(); ++i) sums[i] += plane[i];
  }
}

template <typename Value>
std::pair<at::Tensor, at::Tensor> correlate(const at::Tensor& gradient, const at::Tensor& x, int64_t kernel) {
  const Shape shape = shape_of(x);
  const int64_t taps = kernel * kernel * kernel;
  const auto blocks = blocks_of(shape.channels, kernel == kKernel && std::is_same_v<Value, float>);
  const auto count = static_cast<int64_t>(blocks.size());
  const int64_t planes = shape.samples * shape.depth;
  const int64_t group_size = planes_per_group(shape);
  const int64_t groups = (planes + group_size - 1) / group_size;
  const int64_t group_sums = shape.channels * (taps + 1);
  std::vector<double> sums(std::max<int64_t>(groups, 1) * group_sums, 0.0);
  const Value* in = x.const_data_ptr<Value>();
  const Value* wanted = gradient.const_data_ptr<Value>();
  const int64_t grain =
      tasks_a_thread(group_size * shape.height * shape.width * taps * shape.channels / count);
  at::parallel_for(0, groups * count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const Block& block = blocks[task / groups];
      const int64_t group = task % groups;
      add_planes(shape, block, kernel, group * group_size, std::min(planes, (group + 1) * group_size), in,
                 wanted, sums.data() + group * group_sums + block.first * (taps + 1));
    }
  });
  at::Tensor to_weight = at::empty({shape.channels, 1, kernel, kernel, kernel}, x.options());
  at::Tensor to_bias = at::empty({shape.channels}, x.options());
  Value* weight_values = to_weight.data_ptr<Value>();
  Value* bias_values = to_bias.data_ptr<Value>();
  for (const Block& block : blocks) {
    for (int64_t tap = 0; tap <= taps; ++tap) {
      for (int64_t c = 0; c < block.channels; ++c) {
        double sum = 0;
        for (int64_t group = 0; group < groups; ++group) {
          sum += sums[group * group_sums + block.first * (taps + 1) + tap * block.channels + c];
        }
        const int64_t channel = block.first + c;
        (tap < taps ? weight_values[channel * taps + tap] : bias_values[channel]) = static_cast<Value>(sum);
      }
    }
  }
  return {to_weight, to_bias};
}

at::Tensor convolved(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, bool flipped) {
  check_weight(weight);
  check(x, weight.size(0), weight.size(2));
  const at::NoGradGuard no_grad;
  if (x.is_cuda()) {
    return flipped ? cuda::depthwise_conv3d_input_gradient(x, weight)
                   : cuda::depthwise_conv3d(x, weight, bias);
  }
  const at::ScalarType type = computed_type(x);
  const at::Tensor volume = prepared(x, type);
  const at::Tensor kernel = weight.detach().to(type).contiguous();
  const at::Tensor start =
      bias.defined() ? bias.detach().to(type).contiguous() : at::zeros({x.size(1)}, volume.options());
  require(start.dim() == 1 && start.size(0) == x.size(1), "Expected a bias [", x.size(1),
          "] for the depthwise convolution but received ", start.sizes());
  const at::Tensor out = type == at::kDouble ? convolve<double>(volume, kernel, start, flipped)
                                             : convolve<float>(volume, kernel, start, flipped);
  return out.to(x.scalar_type());
}

}  // namespace

at::Tensor depthwise_conv3d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return convolved(x, weight, bias, /*flipped=*/false);
}

at::Tensor depthwise_conv3d_input_gradient(const at::Tensor& gradient, const at::Tensor& weight) {
  return convolved(gradient, weight, {}, /*flipped=*/true);
}

std::pair<at::Tensor, at::Tensor> depthwise_conv3d_weight_gradient(const at::Tensor& gradient,
                                                                   const at::Tensor& x, int64_t kernel) {
  check(x, x.dim() == 5 ? x.size(1) : 0, kernel);
  require(gradient.sizes() == x.sizes(), "Expected a gradient of the volume's shape ", x.sizes(),
          " but received ", gradient.sizes());
  const at::NoGradGuard no_grad;
  if (x.is_cuda()) return cuda::depthwise_conv3d_weight_gradient(gradient, x, kernel);
  const at::ScalarType type = computed_type(x);
  const auto [to_weight, to_bias] =
      type == at::kDouble ? correlate<double>(prepared(gradient, type), prepared(x, type), kernel)
                          : correlate<float>(prepared(gradient, type), prepared(x, type), kernel);
  return {to_weight.to(x.scalar_type()), to_bias.to(x.scalar_type())};
}

}  // namespace transfer_limits
