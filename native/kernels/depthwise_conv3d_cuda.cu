#include <array>
#include <map>
#include <mutex>

#include "kernels/depthwise_conv3d_cuda.h"

namespace transfer_limits::cuda {
namespace {

constexpr int kKernel = 7;
constexpr int kRadius = kKernel / 2;
constexpr int kPlaneTaps = kKernel * kKernel;
constexpr int kTaps = kPlaneTaps * kKernel;
constexpr int kVoxelBytes = 64;  // of one voxel in shared memory: the channels that a block works on
constexpr int kChunk = 16;       // bytes of one asynchronous copy
constexpr int kRows = 2;         // rows of outputs a thread
constexpr int kMostThreads = 512;

// What a block works on: some channels of a box of voxels.
struct Box {
  int depth, height, width;
  __host__ __device__ int voxels() const { return depth * height * width; }
};

template <typename Value>
struct Lanes {
  static constexpr int kChannels = kVoxelBytes / int(sizeof(Value));  // a block
  static constexpr int kCount = kChannels / 2;                        // threads, with two channels each
};

template <typename Value>
__device__ float2 load_pair(const unsigned char* voxel, int lane) {
  const Value* values = reinterpret_cast<const Value*>(voxel) + 2 * lane;
  return make_float2(to_float(values[0]), to_float(values[1]));
}

// bfloat16 pairs are one word of shared memory: the halves are shifted into place.
template <>
__device__ float2 load_pair<Bfloat16>(const unsigned char* voxel, int lane) {
  const uint32_t word = reinterpret_cast<const uint32_t*>(voxel)[lane];
  const uint32_t low = word << 16, high = word & 0xffff0000u;
  float2 pair;
  memcpy(&pair.x, &low, sizeof(low));
  memcpy(&pair.y, &high, sizeof(high));
  return pair;
}

__device__ void add_product(float2& sum, float2 a, float2 b) {
  sum.x = fmaf(a.x, b.x, sum.x);
  sum.y = fmaf(a.y, b.y, sum.y);
}

// Copies the box of voxels that begins at (z, y, x), which may lie outside of the volume, where it is zero, to shared
// memory; rows lie `stride` voxels apart. A warp takes a row at a time.
template <typename Value>
__device__ void load_box(const DepthwiseShape& shape, const Value* volume, int64_t sample, int channel,
                         int z0, int y0, int x0, Box box, int stride, unsigned char* shared) {
  constexpr int kValues = kChunk / int(sizeof(Value));
  constexpr int kChunks = kVoxelBytes / kChunk;
  const int warp = int(threadIdx.x) / 32, warps = (int(blockDim.x) + 31) / 32, lane = int(threadIdx.x) % 32;
  // The last warp may be a half one.
  const int lanes = min(32, int(blockDim.x) - 32 * warp);
  const bool aligned = shape.channels % kValues == 0 && reinterpret_cast<uintptr_t>(volume) % kChunk == 0;
  for (int row = warp; row < box.depth * box.height; row += warps) {
    const int z = z0 + row / box.height, y = y0 + row % box.height;
    const bool row_inside = z >= 0 && z < shape.depth && y >= 0 && y < shape.height;
    const int64_t row_start = ((sample * shape.depth + z) * shape.height + y) * shape.width;
    for (int item = lane; item < box.width * kChunks; item += lanes) {
      const int voxel = item / kChunks, chunk = item % kChunks;
      const int x = x0 + voxel, first = channel + chunk * kValues;
      const bool inside = row_inside && x >= 0 && x < shape.width && first < shape.channels;
      unsigned char* to = shared + (row * stride + voxel) * kVoxelBytes + chunk * kChunk;
      if (aligned) {
        const Value* from = inside ? volume + (row_start + x) * shape.channels + first : volume;
        __pipeline_memcpy_async(to, from, kChunk, inside ? 0 : kChunk);
      } else {
        Value* values = reinterpret_cast<Value*>(to);
        for (int k = 0; k < kValues; ++k) {
          values[k] = inside && first + k < shape.channels
                          ? volume[(row_start + x) * shape.channels + first + k]
                          : from_float<Value>(0.0f);
        }
      }
    }
  }
  __pipeline_commit();
  __pipeline_wait_prior(0);
}

// A row of `kVoxels` outputs along x in each of two rows along y, for two channels, is a thread's; a block holds its
// whole input in shared memory and the weights of one plane of taps after another.
template <typename Value, int kVoxels>
__global__ void __launch_bounds__(kMostThreads)
    convolve_kernel(DepthwiseShape shape, const Value* __restrict__ volume, const float* __restrict__ weight,
                    const float* __restrict__ bias, Value* __restrict__ out, Box box, Box boxes, int stride) {
  DYNAMIC_SHARED(shared);
  constexpr int kChannels = Lanes<Value>::kChannels, kLanes = Lanes<Value>::kCount;
  const Box input = {box.depth + 2 * kRadius, box.height + 2 * kRadius, box.width + 2 * kRadius};
  float* taps = reinterpret_cast<float*>(shared + input.depth * input.height * stride * kVoxelBytes);

  const int index = int(blockIdx.x);
  const int d0 = index / (boxes.height * boxes.width) * box.depth;
  const int h0 = index / boxes.width % boxes.height * box.height;
  const int w0 = index % boxes.width * box.width;
  const int channel = int(blockIdx.y) * kChannels;
  const int64_t sample = blockIdx.z;
  load_box(shape, volume, sample, channel, d0 - kRadius, h0 - kRadius, w0 - kRadius, input, stride, shared);

  const int lane = int(threadIdx.x) % kLanes, place = int(threadIdx.x) / kLanes;
  const int runs = box.width / kVoxels, row_pairs = box.height / kRows;
  const int own_w = place % runs * kVoxels, own_h = place / runs % row_pairs * kRows;
  const int own_d = place / (runs * row_pairs);
  float2 sums[kRows][kVoxels];
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
#pragma unroll
    for (int w = 0; w < kVoxels; ++w) sums[row][w] = make_float2(0.0f, 0.0f);
  }
  for (int kd = 0; kd < kKernel; ++kd) {
    __syncthreads();  // the box is there; nobody reads the last plane of taps any more
    for (int i = int(threadIdx.x); i < kPlaneTaps * kChannels; i += int(blockDim.x)) {
      const int c = channel + i % kChannels;
      taps[i] = c < shape.channels ? weight[(kd * kPlaneTaps + i / kChannels) * shape.channels + c] : 0.0f;
    }
    __syncthreads();
    const int z = d0 + own_d + kd - kRadius;
    if (z < 0 || z >= shape.depth) continue;  // the same for whole warps, mostly: a plane of padding
#pragma unroll 1
    for (int r = 0; r < kRows + 2 * kRadius; ++r) {
      const unsigned char* row =
          shared + (((own_d + kd) * input.height + own_h + r) * stride + own_w) * kVoxelBytes;
      float2 in[kVoxels + 2 * kRadius];
#pragma unroll
      for (int w = 0; w < kVoxels + 2 * kRadius; ++w) in[w] = load_pair<Value>(row + w * kVoxelBytes, lane);
#pragma unroll
      for (int out_row = 0; out_row < kRows; ++out_row) {
        const int kh = r - out_row;
        if (kh < 0 || kh >= kKernel) continue;
        const float* own = taps + kh * kKernel * kChannels + 2 * lane;
#pragma unroll
        for (int kw = 0; kw < kKernel; ++kw) {
          const float2 tap = make_float2(own[kw * kChannels], own[kw * kChannels + 1]);
#pragma unroll
          for (int w = 0; w < kVoxels; ++w) add_product(sums[out_row][w], in[w + kw], tap);
        }
      }
    }
  }
  const int c = channel + 2 * lane, d = d0 + own_d;
  if (c >= shape.channels || d >= shape.depth) return;
  const bool both = c + 1 < shape.channels;
  const float2 start =
      bias == nullptr ? make_float2(0.0f, 0.0f) : make_float2(bias[c], both ? bias[c + 1] : 0.0f);
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
    const int h = h0 + own_h + row;
    if (h >= shape.height) continue;
    const int64_t row_start = ((sample * shape.depth + d) * shape.height + h) * shape.width;
#pragma unroll
    for (int w = 0; w < kVoxels; ++w) {
      if (w0 + own_w + w >= shape.width) continue;
      Value* to = out + (row_start + w0 + own_w + w) * shape.channels + c;
      to[0] = from_float<Value>(sums[row][w].x + start.x);
      if (both) to[1] = from_float<Value>(sums[row][w].y + start.y);
    }
  }
}

// A thread sums one row of seven taps for two channels over the boxes of its block, with a window of seven inputs that
// moves along the rows.
template <typename Value>
__global__ void __launch_bounds__(kPlaneTaps* Lanes<Value>::kCount)
    correlate_kernel(DepthwiseShape shape, const Value* __restrict__ gradient,
                     const Value* __restrict__ volume, float* __restrict__ partial, Box box, Box boxes,
                     int stride, int64_t box_count) {
  DYNAMIC_SHARED(shared);
  constexpr int kChannels = Lanes<Value>::kChannels, kLanes = Lanes<Value>::kCount;
  const Box input = {box.depth + 2 * kRadius, box.height + 2 * kRadius, box.width + 2 * kRadius};
  unsigned char* own_gradient = shared + input.depth * input.height * stride * kVoxelBytes;
  const int lane = int(threadIdx.x) % kLanes, place = int(threadIdx.x) / kLanes;
  const int kd = place / kKernel, kh = place % kKernel;
  const int channel = int(blockIdx.y) * kChannels;
  float2 sums[kKernel];
#pragma unroll
  for (int kw = 0; kw < kKernel; ++kw) sums[kw] = make_float2(0.0f, 0.0f);

  for (int64_t index = blockIdx.x; index < box_count; index += gridDim.x) {
    const int64_t sample = index / boxes.voxels();
    const int inside = int(index % boxes.voxels());
    const int d0 = inside / (boxes.height * boxes.width) * box.depth;
    const int h0 = inside / boxes.width % boxes.height * box.height;
    const int w0 = inside % boxes.width * box.width;
    __syncthreads();  // nobody reads the last box any more
    load_box(shape, volume, sample, channel, d0 - kRadius, h0 - kRadius, w0 - kRadius, input, stride, shared);
    load_box(shape, gradient, sample, channel, d0, h0, w0, box, box.width, own_gradient);
    __syncthreads();
    for (int d = 0; d < min(box.depth, int(shape.depth) - d0); ++d) {
      const int z = d0 + d + kd - kRadius;
      if (z < 0 || z >= shape.depth) continue;
      for (int h = 0; h < min(box.height, int(shape.height) - h0); ++h) {
        const int y = h0 + h + kh - kRadius;
        if (y < 0 || y >= shape.height) continue;
        const int width = min(box.width, int(shape.width) - w0);
        const unsigned char* in = shared + ((d + kd) * input.height + h + kh) * stride * kVoxelBytes;
        const unsigned char* wanted = own_gradient + (d * box.height + h) * box.width * kVoxelBytes;
        float2 window[kKernel];
#pragma unroll
        for (int w = 0; w < kKernel - 1; ++w) window[w] = load_pair<Value>(in + w * kVoxelBytes, lane);
        in += (kKernel - 1) * kVoxelBytes;
        for (int w = 0; w < width; w += kKernel) {
#pragma unroll
          for (int step = 0; step < kKernel; ++step) {
            if (w + step >= width) break;
            window[(step + kKernel - 1) % kKernel] = load_pair<Value>(in, lane);
            const float2 g = load_pair<Value>(wanted, lane);
            in += kVoxelBytes;
            wanted += kVoxelBytes;
#pragma unroll
            for (int kw = 0; kw < kKernel; ++kw) add_product(sums[kw], g, window[(step + kw) % kKernel]);
          }
        }
      }
    }
  }
  const int c = channel + 2 * lane;
  if (c >= shape.channels) return;
  float* to = partial + (int64_t(blockIdx.x) * kTaps + place * kKernel) * shape.channels + c;
#pragma unroll
  for (int kw = 0; kw < kKernel; ++kw) {
    to[kw * shape.channels] = sums[kw].x;
    if (c + 1 < shape.channels) to[kw * shape.channels + 1] = sums[kw].y;
  }
}

Box boxes_of(const DepthwiseShape& shape, const Box& box) {
  return {divided<int>(shape.depth, box.depth), divided<int>(shape.height, box.height),
          divided<int>(shape.width, box.width)};
}

// In clocks, roughly: the boxes that a multiprocessor takes one after the other, of which each costs arithmetic, whose
// latency a few warps cannot hide, and the copying of its input.
double cost_of(int boxes, double multiplications, int threads, double bytes) {
  constexpr double kPerClock = 90, kBytesPerClock = 40, kWarpsToHide = 8;
  const int warps = (threads + 31) / 32;
  return boxes * (multiplications / kPerClock * std::max(1.0, kWarpsToHide / warps) + bytes / kBytesPerClock);
}

template <typename Value>
int channel_groups(const DepthwiseShape& shape) {
  return divided<int>(shape.channels, Lanes<Value>::kChannels);
}

// A stride of rows that puts neighbouring ones into different banks.
constexpr int odd(int voxels) { return voxels | 1; }

struct ConvolvePlan {
  Box box{};
  int voxels = 0;  // along x, a thread
  int stride = 0;
  size_t shared_bytes = 0;
  double cost = 0;
};

// The box with the least cost that fits into a block: a volume is rarely a multiple of one size.
template <typename Value>
ConvolvePlan plan_convolution(const DepthwiseShape& shape, const DeviceLimits& limits) {
  constexpr int kChannels = Lanes<Value>::kChannels, kLanes = Lanes<Value>::kCount;
  ConvolvePlan best;
  for (const int voxels : {5, 8, 10}) {
    for (int runs = 1; runs <= std::min(8, divided<int>(shape.width, voxels)); ++runs) {
      for (int rows = kRows; rows <= std::min<int64_t>(16, shape.height + 1); rows += kRows) {
        for (int depth = 1; depth <= std::min<int64_t>(8, shape.depth); ++depth) {
          ConvolvePlan plan;
          plan.box = {depth, rows, runs * voxels};
          plan.voxels = voxels;
          plan.stride = odd(plan.box.width + 2 * kRadius);
          const int threads = depth * (rows / kRows) * runs * kLanes;
          const int voxel_count = (depth + 2 * kRadius) * (rows + 2 * kRadius) * plan.stride;
          plan.shared_bytes = size_t(voxel_count) * kVoxelBytes + sizeof(float) * kPlaneTaps * kChannels;
          if (threads > kMostThreads || plan.shared_bytes > size_t(limits.shared_bytes)) continue;
          const int64_t blocks =
              shape.samples * channel_groups<Value>(shape) * boxes_of(shape, plan.box).voxels();
          plan.cost =
              cost_of(divided<int>(blocks, limits.multiprocessors),
                      double(plan.box.voxels()) * kChannels * kTaps, threads, voxel_count * kVoxelBytes);
          if (best.voxels == 0 || plan.cost < best.cost) best = plan;
        }
      }
    }
  }
  return best;
}

struct CorrelatePlan {
  Box box{};
  int stride = 0;
  size_t shared_bytes = 0;
  double cost = 0;
  int64_t parts = 0;
};

// As plan_convolution; every thread reads all of a box, so only the box's input counts.
template <typename Value>
CorrelatePlan plan_correlation(const DepthwiseShape& shape, const DeviceLimits& limits) {
  CorrelatePlan best;
  for (int width = 1; width <= std::min<int64_t>(56, shape.width); ++width) {
    for (int height = 1; height <= std::min<int64_t>(16, shape.height); ++height) {
      for (int depth = 1; depth <= std::min<int64_t>(8, shape.depth); ++depth) {
        CorrelatePlan plan;
        plan.box = {depth, height, width};
        plan.stride = odd(width + 2 * kRadius);
        const int input = (depth + 2 * kRadius) * (height + 2 * kRadius) * plan.stride;
        plan.shared_bytes = size_t(input + plan.box.voxels()) * kVoxelBytes;
        if (plan.shared_bytes > size_t(limits.shared_bytes)) continue;
        const int64_t boxes = shape.samples * boxes_of(shape, plan.box).voxels();
        plan.parts = std::clamp<int64_t>(limits.multiprocessors / channel_groups<Value>(shape), 1, boxes);
        plan.cost = cost_of(divided<int>(boxes, plan.parts),
                            double(depth) * height * (width + 2.0) * Lanes<Value>::kChannels * kTaps,
                            kPlaneTaps * Lanes<Value>::kCount, double(plan.shared_bytes));
        if (best.cost == 0 || plan.cost < best.cost) best = plan;
      }
    }
  }
  return best;
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

template <typename Value, int kVoxels>
void start_convolution(const DepthwiseShape& shape, const ConvolvePlan& plan, const Value* x,
                       const float* weight, const float* bias, Value* out, cudaStream_t stream) {
  const Box boxes = boxes_of(shape, plan.box);
  const int places = plan.box.depth * (plan.box.height / kRows) * (plan.box.width / kVoxels);
  launch(convolve_kernel<Value, kVoxels>,
         dim3(unsigned(boxes.voxels()), unsigned(channel_groups<Value>(shape)), unsigned(shape.samples)),
         dim3(unsigned(places * Lanes<Value>::kCount)), plan.shared_bytes, stream, shape, x, weight, bias,
         out, plan.box, boxes, plan.stride);
}

}  // namespace

template <typename Value>
void convolve_depthwise(const DepthwiseShape& shape, const Value* x, const float* weight, const float* bias,
                        Value* out, cudaStream_t stream) {
  const ConvolvePlan plan = planned<plan_convolution<Value>>(shape);
  const auto start = plan.voxels == 5   ? &start_convolution<Value, 5>
                     : plan.voxels == 8 ? &start_convolution<Value, 8>
                                        : &start_convolution<Value, 10>;
  start(shape, plan, x, weight, bias, out, stream);
}

template <typename Value>
int64_t depthwise_weight_gradient_parts(const DepthwiseShape& shape) {
  return planned<plan_correlation<Value>>(shape).parts;
}

template <typename Value>
void correlate_depthwise(const DepthwiseShape& shape, const Value* gradient, const Value* x, float* sums,
                         int64_t parts, cudaStream_t stream) {
  const CorrelatePlan plan = planned<plan_correlation<Value>>(shape);
  const Box boxes = boxes_of(shape, plan.box);
  launch(correlate_kernel<Value>, dim3(unsigned(parts), unsigned(channel_groups<Value>(shape))),
         dim3(unsigned(kPlaneTaps * Lanes<Value>::kCount)), plan.shared_bytes, stream, shape, gradient, x,
         sums, plan.box, boxes, plan.stride, shape.samples * boxes.voxels());
}

#define FOR_VALUE(Value)                                                                                    \
  template void convolve_depthwise(const DepthwiseShape&, const Value*, const float*, const float*, Value*, \
                                   cudaStream_t);                                                           \
  template int64_t depthwise_weight_gradient_parts<Value>(const DepthwiseShape&);                           \
  template void correlate_depthwise(const DepthwiseShape&, const Value*, const Value*, float*, int64_t,     \
                                    cudaStream_t);
FOR_VALUE(float)
FOR_VALUE(Bfloat16)
#undef FOR_VALUE

}  // namespace transfer_limits::cuda
