#include <ATen/Parallel.h>
#include <ATen/Version.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "error.h"
#include "kernels/winograd_conv3d.h"

namespace transfer_limits {
namespace {

constexpr int64_t kTaps = 27;
constexpr int64_t kPositions = 16;  // of a transformed tile at one of its
constexpr int kSteps = 4;           // along the depth
// Of a sample: with fewer, transforming the kernels takes longer than it saves.
constexpr int64_t kFewestTiles = 64;
// Of input and answer together: with more, all steps of a block of tiles fill a processor's second cache.
constexpr int64_t kFewChannels = 32;

constexpr int64_t divided(int64_t count, int64_t by) { return (count + by - 1) / by; }

// How far apart the matrices of the positions lie: one after the other they would meet in few of the cache's sets.
constexpr int64_t apart(int64_t values) { return values + 16; }

// Channels in whole vectors.
constexpr int64_t filled(int64_t channels, int64_t lanes) { return divided(channels, lanes) * lanes; }

// Where a tile's answer starts.
struct Tile {
  int64_t sample, z, y, x;
};

// A volume [N, D, H, W, C] in memory, in tiles.
struct TiledVolume {
  int64_t samples, depth, height, width, channels;
  int64_t values() const { return depth * height * width * channels; }  // of a sample
  int64_t tiles() const { return samples * ((depth + 1) / 2) * ((height + 1) / 2) * ((width + 1) / 2); }
  Tile tile(int64_t index) const {
    const int64_t deep = (depth + 1) / 2, high = (height + 1) / 2, wide = (width + 1) / 2;
    return {index / (deep * high * wide), index / (high * wide) % deep * 2, index / wide % high * 2,
            index % wide * 2};
  }
  bool holds_patch(const Tile& tile) const {
    return tile.z > 0 && tile.z + 3 <= depth && tile.y > 0 && tile.y + 3 <= height && tile.x > 0 &&
           tile.x + 3 <= width;
  }
};

// Tiles that are worked on together, filled up to so many rows, and which steps of theirs: one, or all from the first.
struct Block {
  int64_t first, count, rows;
  int step, steps;
};

// Kernels of 27 taps, how far apart those of neighbouring channels and outputs lie, and whether they are read backwards.
struct KernelsInMemory {
  const float* values;
  int64_t of_channel, of_output;
  bool flipped;
};

// The inner loops for one instruction set; see winograd_conv3d_tiles.inc.
struct Tiles {
  int64_t lanes, rows;
  void (*transform_patches)(const TiledVolume&, const float*, const Block&, float* patches);
  void (*multiply_patches)(const float* patches, const float* panels, int64_t channels, int64_t outputs,
                           int64_t rows, float* products);
  void (*answer_tiles)(const TiledVolume&, float*, const Block&, const float* products);
  void (*correlate_patches)(const float* patches, const float* panels, int64_t channels, int64_t outputs,
                            int64_t rows, int64_t count, bool adds, float* sums);
  void (*transform_gradients)(const TiledVolume&, const float*, const Block&, float* panels);
  void (*transform_kernel)(const KernelsInMemory&, int64_t channels, int64_t outputs, int64_t c,
                           float* panels);
  void (*gather_kernel)(const float* sums, int64_t groups, int64_t channels, int64_t outputs, int64_t c,
                        float* kernels);
};

#if defined(__x86_64__)
// From 8 - n on, what lets the first n of eight lanes through.
constexpr int32_t kFirstOfEight[] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

#include "kernels/simd_avx512.inc"
#define SIMD_LOAD_FIRST(source, count) _mm512_maskz_loadu_ps(__mmask16((1U << (count)) - 1), source)
#define SIMD_ROWS 12
#include "kernels/winograd_conv3d_tiles.inc"
// And again:
#include "kernels/simd_avx2.inc"
#define SIMD_LOAD_FIRST(source, count) \
  _mm256_maskload_ps(source,           \
                     _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kFirstOfEight + 8 - (count))))
#define SIMD_ROWS 6
#include "kernels/winograd_conv3d_tiles.inc"
#endif

// By what the processor can do, in LibTorch's judgement (and its environment variable ATEN_CPU_CAPABILITY); the widest
// registers first.
const std::vector<Tiles>& tiles_here() {
  static const std::vector<Tiles> tiles = [] {
    std::vector<Tiles> list;
#if defined(__x86_64__)
    const std::string capability = at::get_cpu_capability();
    if (capability == "AVX512") list.push_back(avx512::tiles());
    if (capability == "AVX512" || capability == "AVX2") list.push_back(avx2::tiles());
#endif
    return list;
  }();
  return tiles;
}

// Those that leave fewest lanes empty with so many channels of input and answer, of several the widest; null where even they
// leave more empty than they fill.
const Tiles* tiles_for(int64_t channels, int64_t outputs) {
  const Tiles* best = nullptr;
  const auto taken = [&](const Tiles& tiles) {
    return filled(channels, tiles.lanes) * filled(outputs, tiles.lanes);
  };
  for (const Tiles& tiles : tiles_here()) {
    if (best == nullptr || taken(tiles) < taken(*best)) best = &tiles;
  }
  return best != nullptr && taken(*best) <= 2 * channels * outputs ? best : nullptr;
}

TiledVolume tiled(const at::Tensor& x) { return {x.size(0), x.size(2), x.size(3), x.size(4), x.size(1)}; }

at::Tensor in_channels_last(const at::Tensor& x) {
  return x.detach().contiguous(at::MemoryFormat::ChannelsLast3d);
}

// How many steps of a block of tiles are worked on at once: all where that leaves tiles enough in the cache, as the volume is
// read once then.
int steps_at_once(int64_t channels, int64_t outputs) {
  return channels + outputs <= kFewChannels ? kSteps : 1;
}

// How many tiles a thread has in work at a time, at so many steps: what it reads and writes of them lies in its second
// cache, and the other factor of the products is read for enough of them. A multiple of the rows of a product.
int64_t tiles_at_once(const Tiles& tiles, int64_t channels, int64_t outputs, int steps, int64_t most) {
  constexpr int64_t kCached = 32 << 10;  // values
  const int64_t fitting = kCached / (kPositions * steps * (channels + outputs));
  const int64_t wanted = std::clamp<int64_t>(std::min(fitting, most), 2 * tiles.rows, 96);
  return divided(wanted, tiles.rows) * tiles.rows;
}

// The transformed kernels [4, 16, O / panel, C, panel].
at::Tensor transformed(const Tiles& tiles, const KernelsInMemory& kernels, int64_t channels,
                       int64_t outputs) {
  at::Tensor panels = at::empty({kSteps, kPositions, channels * filled(outputs, tiles.lanes)}, at::kFloat);
  float* to = panels.data_ptr<float>();
  at::parallel_for(0, channels, divided(1 << 12, outputs), [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) tiles.transform_kernel(kernels, channels, outputs, c, to);
  });
  return panels;
}

// The answer to `input` [N, C, D, H, W] with `weight` [O, C, 3, 3, 3]; or, `backwards`, to [N, O, D, H, W] with it flipped.
at::Tensor convolved(const at::Tensor& input, const at::Tensor& weight, bool backwards) {
  const int64_t channels = weight.size(backwards ? 0 : 1), outputs = weight.size(backwards ? 1 : 0);
  const Tiles* tiles = tiles_for(channels, outputs);
  require(
      tiles != nullptr && input.size(1) == channels && weight.numel() == kTaps * channels * outputs,
      "Expected kernels of 3 x 3 x 3, channels that fill vectors, and as many in the volume, for Winograd's ",
      "convolution but received ", weight.sizes(), " and ", input.sizes());
  const at::Tensor x = in_channels_last(input);
  const TiledVolume volume = tiled(x);
  TiledVolume answer = volume;
  answer.channels = outputs;
  at::Tensor out = at::empty({volume.samples, outputs, volume.depth, volume.height, volume.width},
                             x.options(), at::MemoryFormat::ChannelsLast3d);
  const at::Tensor dense = weight.detach().contiguous();
  const int64_t of_first = weight.size(1) * kTaps;
  const at::Tensor kernels = transformed(
      *tiles,
      {dense.const_data_ptr<float>(), backwards ? of_first : kTaps, backwards ? kTaps : of_first, backwards},
      channels, outputs);
  const float* panels = kernels.const_data_ptr<float>();
  const float* from = x.const_data_ptr<float>();
  float* to = out.data_ptr<float>();
  // Each value of the answer is added up in the same order, however its tiles are shared out.
  const int64_t all = volume.tiles();
  const int steps = steps_at_once(channels, outputs);
  const int64_t rows = tiles_at_once(*tiles, channels, outputs, steps, divided(all, at::get_num_threads()));
  const int64_t columns = filled(outputs, tiles->lanes);
  const int64_t patch = apart(filled(channels, tiles->lanes) * rows), product = apart(columns * rows);
  at::parallel_for(0, divided(all, rows), 1, [&](int64_t begin, int64_t end) {
    const auto patches = std::make_unique_for_overwrite<float[]>(steps * kPositions * patch);
    const auto products = std::make_unique_for_overwrite<float[]>(steps * kPositions * product);
    for (int64_t first = begin * rows; first < std::min(all, end * rows); first += rows) {
      for (int step = 0; step < kSteps; step += steps) {
        const Block block{first, std::min(rows, all - first), rows, step, steps};
        tiles->transform_patches(volume, from, block, patches.get());
        for (int64_t position = 0; position < steps * kPositions; ++position) {
          tiles->multiply_patches(patches.get() + position * patch,
                                  panels + (step * kPositions + position) * channels * columns, channels,
                                  outputs, rows, products.get() + position * product);
        }
        tiles->answer_tiles(answer, to, block, products.get());
      }
    }
  });
  return out;
}

// Into how many groups tiles are divided whose sums are added up by themselves, where a group's steps are worked on so many
// at once: enough for the threads of a large host, as long as the sums are few beside the tiles and fit in memory.
int64_t groups_of(int64_t tiles, int64_t channels, int64_t outputs, int steps) {
  constexpr int64_t kTilesOfTask = 256, kMostTasks = 64;
  constexpr int64_t kMostValues = 16 << 20;
  const int64_t kept = kSteps * kPositions * channels * outputs;
  return std::clamp<int64_t>(std::min(tiles * steps / kTilesOfTask, kMostValues / kept), 1,
                             kMostTasks * steps / kSteps);
}

}  // namespace

bool has_winograd_conv3d(const at::Tensor& x, const at::Tensor& weight) {
  if (!x.device().is_cpu() || x.scalar_type() != at::kFloat || weight.scalar_type() != at::kFloat ||
      x.dim() != 5 || weight.dim() != 5 || x.numel() == 0 ||
      !x.is_contiguous(at::MemoryFormat::ChannelsLast3d)) {
    return false;
  }
  for (int64_t axis = 2; axis < 5; ++axis) {
    if (weight.size(axis) != 3) return false;
  }
  if (x.size(1) != weight.size(1) || tiles_for(weight.size(1), weight.size(0)) == nullptr) return false;
  // By the voxels alone, so that a sample's numbers do not depend on its batch.
  const int64_t tiles = divided(x.size(2), 2) * divided(x.size(3), 2) * divided(x.size(4), 2);
  return tiles >= kFewestTiles &&
         2 * kSteps * kPositions * tiles <= kTaps * x.size(2) * x.size(3) * x.size(4);
}

at::Tensor winograd_conv3d(const at::Tensor& x, const at::Tensor& weight) {
  const at::NoGradGuard no_grad;
  return convolved(x, weight, /*backwards=*/false);
}

at::Tensor winograd_conv3d_input_gradient(const at::Tensor& gradient, const at::Tensor& weight) {
  const at::NoGradGuard no_grad;
  return convolved(gradient, weight, /*backwards=*/true);
}

at::Tensor winograd_conv3d_weight_gradient(const at::Tensor& gradient, const at::Tensor& x) {
  const at::NoGradGuard no_grad;
  const at::Tensor input = in_channels_last(x), wanted = in_channels_last(gradient);
  const TiledVolume volume = tiled(input), answer = tiled(wanted);
  const int64_t channels = volume.channels, outputs = answer.channels;
  const Tiles* tiles = tiles_for(channels, outputs);
  require(tiles != nullptr && volume.values() / channels == answer.values() / outputs &&
              volume.samples == answer.samples,
          "Expected channels that fill vectors for Winograd's convolution, and a gradient of the volume's "
          "size, but ",
          "received ", x.sizes(), " and ", gradient.sizes());
  const int64_t patch_channels = filled(channels, tiles->lanes), columns = filled(outputs, tiles->lanes);
  const int64_t all = volume.tiles(), matrix = patch_channels * columns;
  const int steps = steps_at_once(channels, outputs);
  const int64_t groups = groups_of(all, channels, outputs, steps), of_group = divided(all, groups);
  const int64_t rows = tiles_at_once(*tiles, channels, outputs, steps, of_group);
  const int64_t patch = apart(patch_channels * rows), panel = apart(columns * rows);
  const at::Tensor sums = at::empty({groups, kSteps * kPositions, patch_channels, columns}, input.options());
  const float* from = input.const_data_ptr<float>();
  const float* gradients = wanted.const_data_ptr<float>();
  float* to = sums.data_ptr<float>();
  at::parallel_for(0, groups * kSteps / steps, 1, [&](int64_t begin, int64_t end) {
    const auto patches = std::make_unique_for_overwrite<float[]>(steps * kPositions * patch);
    const auto panels = std::make_unique_for_overwrite<float[]>(steps * kPositions * panel);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t group = task * steps / kSteps;
      const int step = int(task * steps % kSteps);
      const int64_t last = std::min(all, (group + 1) * of_group);
      float* own = to + task * steps * kPositions * matrix;
      for (int64_t first = group * of_group; first < last; first += rows) {
        const Block block{first, std::min(rows, last - first), rows, step, steps};
        tiles->transform_patches(volume, from, block, patches.get());
        tiles->transform_gradients(answer, gradients, block, panels.get());
        for (int64_t position = 0; position < steps * kPositions; ++position) {
          tiles->correlate_patches(patches.get() + position * patch, panels.get() + position * panel,
                                   channels, outputs, rows, block.count, first > group * of_group,
                                   own + position * matrix);
        }
      }
    }
  });
  at::Tensor weight = at::empty({outputs, channels, 3, 3, 3}, input.options());
  float* kernels = weight.data_ptr<float>();
  at::parallel_for(0, channels, divided(1 << 12, outputs), [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) tiles->gather_kernel(to, groups, channels, outputs, c, kernels);
  });
  return weight;
}

}  // namespace transfer_limits
