#pragma once

// What the kernels of depthwise_conv3d_cuda.cu and depthwise_conv3d_weight_cuda.cu share: boxes of voxels in shared
// memory, and the search for their sizes.
#include <array>
#include <map>
#include <mutex>

#include "kernels/depthwise_conv3d_cuda.h"

namespace transfer_limits::cuda {

constexpr int kKernel = 7;
constexpr int kRadius = kKernel / 2;
constexpr int kPlaneTaps = kKernel * kKernel;
constexpr int kTaps = kPlaneTaps * kKernel;
constexpr int kVoxelBytes = 64;  // of one voxel in shared memory: the channels that a block works on
constexpr int kChunk = 16;       // bytes of one asynchronous copy

// What a block works on: some channels of a box of voxels.
struct Box {
  int depth, height, width;
  __host__ __device__ int voxels() const { return depth * height * width; }
  // With the neighbours that its outputs see.
  __host__ __device__ Box grown() const {
    return {depth + 2 * kRadius, height + 2 * kRadius, width + 2 * kRadius};
  }
};

template <typename Value>
struct Lanes {
  static constexpr int kChannels = kVoxelBytes / int(sizeof(Value));  // a block
  static constexpr int kCount = kChannels / 2;                        // threads, with two channels each
};

// Where the voxels of a box lie in shared memory, in voxels: two neighbours along x fill its 32 banks. A warp's halves
// read of two rows at once; so that they meet different banks, rows are moved by one voxel in turns: each by what stands
// beside it along z, and every `kTogether` along y.
template <int kTogether>
struct BoxPlaces {
  int height, stride;
  static __host__ __device__ int stride_of(int width) { return (width + 2) / 2 * 2; }
  // Of voxel (plane, y, 0), where the plane lies in `slot`.
  __device__ int row(int slot, int plane, int y) const {
    return (slot * height + y) * stride + (y / kTogether + plane) % 2;
  }
};

template <typename Value>
__device__ inline float2 load_pair(const unsigned char* voxel, int lane) {
  const Value* values = reinterpret_cast<const Value*>(voxel) + 2 * lane;
  return make_float2(to_float(values[0]), to_float(values[1]));
}

// bfloat16 pairs are one word of shared memory: the halves are shifted into place.
template <>
__device__ inline float2 load_pair<Bfloat16>(const unsigned char* voxel, int lane) {
  const uint32_t word = reinterpret_cast<const uint32_t*>(voxel)[lane];
  const uint32_t low = word << 16, high = word & 0xffff0000u;
  float2 pair;
  memcpy(&pair.x, &low, sizeof(low));
  memcpy(&pair.y, &high, sizeof(high));
  return pair;
}

__device__ inline void add_product(float2& sum, float2 a, float2 b) {
  sum.x = fmaf(a.x, b.x, sum.x);
  sum.y = fmaf(a.y, b.y, sum.y);
}

// Whether rows of `channels` values can be copied in chunks.
template <typename Value>
__device__ inline bool in_chunks(const Value* values, int64_t channels) {
  return channels % (kChunk / int(sizeof(Value))) == 0 && reinterpret_cast<uintptr_t>(values) % kChunk == 0;
}

// Copies a chunk of which the first `inside` values are in memory; the others become 0. `chunked`: asynchronously.
template <typename Value>
__device__ inline void copy_chunk(unsigned char* to, const Value* values, int64_t first, int64_t inside,
                                  bool chunked) {
  constexpr int kValues = kChunk / int(sizeof(Value));
  if (chunked) {
    __pipeline_memcpy_async(to, inside > 0 ? values + first : values, kChunk, inside > 0 ? 0 : kChunk);
    return;
  }
  for (int k = 0; k < kValues; ++k) {
    reinterpret_cast<Value*>(to)[k] = k < inside ? values[first + k] : from_float<Value>(0.0f);
  }
}

// Of a box of voxels that begins at (z, y, x), which may lie outside of the volume, where it is zero.
struct BoxOrigin {
  int64_t sample;
  int channel, z, y, x;
};

// Copies the planes from `first` to before `end` of a box of that height and width to shared memory, plane p to slot p %
// `slots`. A warp takes a row at a time.
template <typename Value, int kTogether>
__device__ void load_planes(const DepthwiseShape& shape, const Value* volume, const BoxOrigin& origin,
                            int width, int first, int end, int slots, BoxPlaces<kTogether> places,
                            unsigned char* shared) {
  constexpr int kValues = kChunk / int(sizeof(Value));
  constexpr int kChunks = kVoxelBytes / kChunk;
  const int warp = int(threadIdx.x) / 32, warps = (int(blockDim.x) + 31) / 32, lane = int(threadIdx.x) % 32;
  // The last warp may be a half one.
  const int lanes = min(32, int(blockDim.x) - 32 * warp);
  const bool chunked = in_chunks(volume, shape.channels);
  for (int row = warp; row < (end - first) * places.height; row += warps) {
    const int plane = first + row / places.height, in_plane = row % places.height;
    const int z = origin.z + plane, y = origin.y + in_plane;
    const bool row_inside = z >= 0 && z < shape.depth && y >= 0 && y < shape.height;
    const int64_t row_start = ((origin.sample * shape.depth + z) * shape.height + y) * shape.width;
    unsigned char* to = shared + places.row(plane % slots, plane, in_plane) * kVoxelBytes;
    for (int item = lane; item < width * kChunks; item += lanes) {
      const int x = origin.x + item / kChunks, channel = origin.channel + item % kChunks * kValues;
      const bool inside = row_inside && x >= 0 && x < shape.width;
      copy_chunk(to + item * kChunk, volume, (row_start + x) * shape.channels + channel,
                 inside ? shape.channels - channel : 0, chunked);
    }
  }
}

inline Box boxes_of(const DepthwiseShape& shape, const Box& box) {
  return {divided<int>(shape.depth, box.depth), divided<int>(shape.height, box.height),
          divided<int>(shape.width, box.width)};
}

template <typename Value>
int channel_groups(const DepthwiseShape& shape) {
  return divided<int>(shape.channels, Lanes<Value>::kChannels);
}

// Of what a multiprocessor does, roughly: multiplications of all its schedulers a clock, and bytes that come from the
// device's cache while the others ask for theirs.
constexpr double kMostProductsPerClock = 128, kBytesPerClock = 20;
// Arithmetic of a few warps cannot hide its latency, and warps are dealt out to four schedulers.
inline double slowed_by_warps(int warps) {
  constexpr double kWarpsToHide = 8;
  constexpr int kSchedulers = 4;
  const int rounds = divided<int>(warps, kSchedulers);
  return std::max(1.0, kWarpsToHide / warps) * double(rounds * kSchedulers) / warps;
}

// What `kSearch` finds for a volume on the current device. It tries thousands of boxes, which takes longer than to start
// a kernel: what it found is kept, for each device by its limits.
template <auto kSearch>
auto planned(const DepthwiseShape& shape) {
  constexpr size_t kMostKept =
      1024;  // far more shapes than a network has, few enough for a process without end
  using Key = std::array<int64_t, 7>;
  const DeviceLimits limits = device_limits();
  const Key key = {shape.samples,  shape.depth,         shape.height,          shape.width,
                   shape.channels, limits.shared_bytes, limits.multiprocessors};
  static std::mutex mutex;
  static std::map<Key, decltype(kSearch(shape, limits))> kept;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = kept.find(key);
  if (found != kept.end()) return found->second;
  if (kept.size() >= kMostKept) kept.clear();
  return kept.emplace(key, kSearch(shape, limits)).first->second;
}

}  // namespace transfer_limits::cuda
