#include "kernels/depthwise_conv3d_box_cuda.h"

namespace transfer_limits::cuda {
namespace {

constexpr int kRows = 2;  // rows of outputs a thread
constexpr int kMostThreads = 512;
constexpr int kRegisters = 128, kAllRegisters = 65536;  // a thread, at most, and of a multiprocessor

using Places = BoxPlaces<kRows>;

// Copies the taps of one plane [49, channels of the block].
template <typename Value>
__device__ void load_taps(const float* weight, int64_t channels, int channel, int kd, float* taps) {
  constexpr int kChannels = Lanes<Value>::kChannels, kValues = kChunk / int(sizeof(float));
  const bool chunked = in_chunks(weight, channels);
  for (int i = int(threadIdx.x) * kValues; i < kPlaneTaps * kChannels; i += int(blockDim.x) * kValues) {
    const int c = channel + i % kChannels;
    copy_chunk(reinterpret_cast<unsigned char*>(taps + i), weight,
               (kd * kPlaneTaps + i / kChannels) * channels + c, channels - c, chunked);
  }
}

// A row of `kVoxels` outputs along x in each of two rows along y, for two channels, is a thread's. A block's outputs see
// one plane of taps after another, each with as many planes of inputs as the box has; while they do, the plane of inputs
// that the next taps see besides comes into shared memory, where none of them looks, and those taps.
template <typename Value, int kVoxels>
__global__ void __launch_bounds__(kMostThreads)
    convolve_kernel(DepthwiseShape shape, const Value* __restrict__ volume, const float* __restrict__ weight,
                    const float* __restrict__ bias, Value* __restrict__ out, Box box, Box boxes,
                    Places places) {
  DYNAMIC_SHARED(shared);
  constexpr int kChannels = Lanes<Value>::kChannels, kLanes = Lanes<Value>::kCount;
  constexpr int kTapValues = kPlaneTaps * kChannels;
  const int slots = box.depth + 1;
  float* taps = reinterpret_cast<float*>(shared + slots * places.height * places.stride * kVoxelBytes);

  const int index = int(blockIdx.x);
  const int d0 = index / (boxes.height * boxes.width) * box.depth;
  const int h0 = index / boxes.width % boxes.height * box.height;
  const int w0 = index % boxes.width * box.width;
  const int channel = int(blockIdx.y) * kChannels;
  const int64_t sample = blockIdx.z;
  const BoxOrigin origin = {sample, channel, d0 - kRadius, h0 - kRadius, w0 - kRadius};
  const int input_width = box.grown().width;
  const auto load = [&](int kd) {  // what the taps of plane kd see for the first time
    load_planes(shape, volume, origin, input_width, kd == 0 ? 0 : box.depth + kd - 1, box.depth + kd, slots,
                places, shared);
    load_taps<Value>(weight, shape.channels, channel, kd, taps + kd % 2 * kTapValues);
    __pipeline_commit();
  };
  load(0);

  // Neighbouring places are pairs of rows, whose inputs lie in different banks.
  const int lane = int(threadIdx.x) % kLanes, place = int(threadIdx.x) / kLanes;
  const int row_pairs = box.height / kRows, runs = box.width / kVoxels;
  const int own_h = place % row_pairs * kRows, own_w = place / row_pairs % runs * kVoxels;
  const int own_d = place / (row_pairs * runs);
  float2 sums[kRows][kVoxels];
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
#pragma unroll
    for (int w = 0; w < kVoxels; ++w) sums[row][w] = make_float2(0.0f, 0.0f);
  }
  for (int kd = 0; kd < kKernel; ++kd) {
    __pipeline_wait_prior(0);
    __syncthreads();  // what these taps see is there, and nobody looks any more where the next plane comes
    if (kd + 1 < kKernel) load(kd + 1);
    const int plane = own_d + kd, z = d0 + plane - kRadius;
    if (z < 0 || z >= shape.depth) continue;  // the same for whole warps, mostly: a plane of padding
    const int slot = plane % slots;
    const float* own_taps = taps + kd % 2 * kTapValues + 2 * lane;
    float2 last[kKernel];  // the taps that the row before has seen: the second row of outputs sees them now
#pragma unroll
    for (int kw = 0; kw < kKernel; ++kw) last[kw] = make_float2(0.0f, 0.0f);
#pragma unroll 1
    for (int r = 0; r < kRows + 2 * kRadius; ++r) {
      const unsigned char* row = shared + (places.row(slot, plane, own_h + r) + own_w) * kVoxelBytes;
      float2 in[kVoxels + 2 * kRadius];
#pragma unroll
      for (int w = 0; w < kVoxels + 2 * kRadius; ++w) in[w] = load_pair<Value>(row + w * kVoxelBytes, lane);
      if (r > 0) {
#pragma unroll
        for (int kw = 0; kw < kKernel; ++kw) {
#pragma unroll
          for (int w = 0; w < kVoxels; ++w) add_product(sums[1][w], in[w + kw], last[kw]);
        }
      }
      if (r == kKernel) continue;  // the second row of outputs alone sees it
#pragma unroll
      for (int kw = 0; kw < kKernel; ++kw) {
        const float* tap = own_taps + (r * kKernel + kw) * kChannels;
        last[kw] = make_float2(tap[0], tap[1]);
#pragma unroll
        for (int w = 0; w < kVoxels; ++w) add_product(sums[0][w], in[w + kw], last[kw]);
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

struct ConvolvePlan {
  Box box{};
  int voxels = 0;  // along x, a thread
  Places places{};
  size_t shared_bytes = 0;
  double cost = 0;
};

// Of the pairs of places that a warp's halves work on, the share that meets the same banks.
double share_in_one_bank(int row_pairs, int runs, int depth, int voxels) {
  const int places = row_pairs * runs * depth;
  const auto bank = [&](int place) {
    return place % row_pairs + place / row_pairs % runs * voxels + place / (row_pairs * runs);
  };
  int same = 0;
  for (int place = 0; place + 1 < places; place += 2) same += (bank(place) + bank(place + 1)) % 2 == 0;
  return double(same) / double(std::max(1, places / 2));
}

// How much longer than its multiplications a thread takes for a plane of taps: its other instructions, or what it reads
// of shared memory, which four schedulers share.
template <typename Value>
double slowed_by_loads(int voxels, double in_one_bank) {
  constexpr int kInputRows = kRows + 2 * kRadius, kAroundRow = 10;
  constexpr int kPairWords = 2 * int(sizeof(Value)) / 4, kTakenApart = sizeof(Value) == 2 ? 2 : 0;
  const double products = 2.0 * kRows * kPlaneTaps * voxels, inputs = kInputRows * (voxels + 2.0 * kRadius);
  const double instructions =
      products + inputs * (1 + kTakenApart) + kPlaneTaps + double(kInputRows) * kAroundRow;
  const double words = inputs * kPairWords * (1.0 + in_one_bank) + 2.0 * kPlaneTaps;
  return std::max(instructions, 4.0 * words) / products;
}

// The box with the least cost that fits into a block, of which two may share a multiprocessor: a volume is rarely a
// multiple of one size.
template <typename Value>
ConvolvePlan plan_convolution(const DepthwiseShape& shape, const DeviceLimits& limits) {
  constexpr int kChannels = Lanes<Value>::kChannels, kLanes = Lanes<Value>::kCount;
  constexpr size_t kReserved = 1024;  // bytes of shared memory that a block takes besides
  ConvolvePlan best;
  for (const int voxels : {5, 8, 10}) {
    for (int runs = 1; runs <= std::min(8, divided<int>(shape.width, voxels)); ++runs) {
      for (int rows = kRows; rows <= std::min<int64_t>(16, shape.height + 1); rows += kRows) {
        for (int depth = 1; depth <= std::min<int64_t>(8, shape.depth); ++depth) {
          ConvolvePlan plan;
          plan.box = {depth, rows, runs * voxels};
          plan.voxels = voxels;
          plan.places = {plan.box.grown().height, Places::stride_of(plan.box.grown().width)};
          const int threads = depth * (rows / kRows) * runs * kLanes;
          const int plane_bytes = plan.places.height * plan.places.stride * kVoxelBytes;
          plan.shared_bytes = size_t(depth + 1) * plane_bytes + 2 * sizeof(float) * kPlaneTaps * kChannels;
          if (threads > kMostThreads || plan.shared_bytes > size_t(limits.shared_bytes)) continue;
          const int warps = divided<int>(threads, kWarpThreads);
          const bool two = warps * kWarpThreads * kRegisters * 2 <= kAllRegisters &&
                           2 * (plan.shared_bytes + kReserved) <= size_t(limits.shared_bytes) + kReserved;
          const int resident = two ? 2 : 1;
          const int64_t blocks =
              shape.samples * channel_groups<Value>(shape) * boxes_of(shape, plan.box).voxels();
          const double in_one_bank = share_in_one_bank(rows / kRows, runs, depth, voxels);
          const double products = double(plan.box.voxels()) * kChannels * kTaps;
          const double arithmetic = products / kMostProductsPerClock *
                                    slowed_by_loads<Value>(voxels, in_one_bank) *
                                    slowed_by_warps(resident * warps);
          // Only a block that is alone waits for its first planes.
          const double copies = double(depth + 2 * kRadius) * plane_bytes / kBytesPerClock;
          const double first = two ? 0.0 : double(depth) * plane_bytes / kBytesPerClock;
          plan.cost = divided<int>(blocks, int64_t(limits.multiprocessors) * resident) * resident *
                      (std::max(arithmetic, copies) + first);
          if (best.voxels == 0 || plan.cost < best.cost) best = plan;
        }
      }
    }
  }
  return best;
}

template <typename Value, int kVoxels>
void start_convolution(const DepthwiseShape& shape, const ConvolvePlan& plan, const Value* x,
                       const float* weight, const float* bias, Value* out, cudaStream_t stream) {
  const Box boxes = boxes_of(shape, plan.box);
  const int places = plan.box.depth * (plan.box.height / kRows) * (plan.box.width / kVoxels);
  launch(convolve_kernel<Value, kVoxels>,
         dim3(unsigned(boxes.voxels()), unsigned(channel_groups<Value>(shape)), unsigned(shape.samples)),
         dim3(unsigned(places * Lanes<Value>::kCount)), plan.shared_bytes, stream, shape, x, weight, bias,
         out, plan.box, boxes, plan.places);
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

template void convolve_depthwise(const DepthwiseShape&, const float*, const float*, const float*, float*,
                                 cudaStream_t);
template void convolve_depthwise(const DepthwiseShape&, const Bfloat16*, const float*, const float*,
                                 Bfloat16*, cudaStream_t);

}  // namespace transfer_limits::cuda
