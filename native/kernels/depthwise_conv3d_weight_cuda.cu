#include "kernels/depthwise_conv3d_box_cuda.h"

namespace transfer_limits::cuda {
namespace {

using Places = BoxPlaces<1>;

// Planes in shared memory: those that the taps of one plane of the gradient see and the next one; of the gradient two.
constexpr int kInputSlots = kKernel + 1, kGradientSlots = 2;

// A thread sums one row of seven taps for two channels over the boxes of its block, with a window of seven inputs that
// moves along the rows. A block goes through a box plane by plane of the gradient; while it works on one, what the next
// one needs besides comes into shared memory, where no thread looks.
template <typename Value>
__global__ void __launch_bounds__(kPlaneTaps* Lanes<Value>::kCount)
    correlate_kernel(DepthwiseShape shape, const Value* __restrict__ gradient,
                     const Value* __restrict__ volume, float* __restrict__ partial, Box box, Box boxes,
                     Places places, int64_t box_count) {
  DYNAMIC_SHARED(shared);
  constexpr int kChannels = Lanes<Value>::kChannels, kLanes = Lanes<Value>::kCount;
  const int input_width = box.grown().width;
  // Of the gradient both halves of a warp read the same.
  const Places gradient_places = {box.height, Places::stride_of(box.width)};
  unsigned char* own_gradient = shared + kInputSlots * places.height * places.stride * kVoxelBytes;
  const int lane = int(threadIdx.x) % kLanes, place = int(threadIdx.x) / kLanes;
  const int kd = place / kKernel, kh = place % kKernel;
  const int channel = int(blockIdx.y) * kChannels;
  const auto origin_of = [&](int64_t index) {
    const int inside = int(index % boxes.voxels());
    return BoxOrigin{index / boxes.voxels(), channel, inside / (boxes.height * boxes.width) * box.depth,
                     inside / boxes.width % boxes.height * box.height, inside % boxes.width * box.width};
  };
  const auto load = [&](const BoxOrigin& origin, int plane) {  // what this plane of the gradient needs first
    const BoxOrigin seen = {origin.sample, channel, origin.z - kRadius, origin.y - kRadius,
                            origin.x - kRadius};
    load_planes(shape, volume, seen, input_width, plane == 0 ? 0 : plane + kKernel - 1, plane + kKernel,
                kInputSlots, places, shared);
    load_planes(shape, gradient, origin, box.width, plane, plane + 1, kGradientSlots, gradient_places,
                own_gradient);
    __pipeline_commit();
  };
  float2 sums[kKernel];
#pragma unroll
  for (int kw = 0; kw < kKernel; ++kw) sums[kw] = make_float2(0.0f, 0.0f);

  for (int64_t index = blockIdx.x; index < box_count; index += gridDim.x) {
    const BoxOrigin origin = origin_of(index);
    const int planes = min(box.depth, int(shape.depth) - origin.z);
    const int width = min(box.width, int(shape.width) - origin.x);
    __syncthreads();  // nobody reads the last box any more
    load(origin, 0);
    for (int d = 0; d < planes; ++d) {
      __pipeline_wait_prior(0);
      __syncthreads();  // this plane is there, and nobody looks any more where the next one comes
      if (d + 1 < planes) load(origin, d + 1);
      const int plane = d + kd, z = origin.z + plane - kRadius;
      if (z < 0 || z >= shape.depth) continue;
      for (int h = 0; h < min(box.height, int(shape.height) - origin.y); ++h) {
        const int y = origin.y + h + kh - kRadius;
        if (y < 0 || y >= shape.height) continue;
        const unsigned char* in = shared + places.row(plane % kInputSlots, plane, h + kh) * kVoxelBytes;
        const unsigned char* wanted =
            own_gradient + gradient_places.row(d % kGradientSlots, d, h) * kVoxelBytes;
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

struct CorrelatePlan {
  Box box{};
  Places places{};
  size_t shared_bytes = 0;
  double cost = 0;
  int64_t parts = 0;
};

// The box with the least cost: a volume is rarely a multiple of one size. Every thread reads all of a box.
template <typename Value>
CorrelatePlan plan_correlation(const DepthwiseShape& shape, const DeviceLimits& limits) {
  constexpr int kWarps = (kPlaneTaps * Lanes<Value>::kCount + kWarpThreads - 1) / kWarpThreads;
  constexpr int kMostDivisions = 16;  // of the depth
  CorrelatePlan best;
  for (int width = 1; width <= std::min<int64_t>(56, shape.width); ++width) {
    for (int height = 1; height <= std::min<int64_t>(32, shape.height); ++height) {
      for (int divisions = 1; divisions <= std::min<int64_t>(kMostDivisions, shape.depth); ++divisions) {
        CorrelatePlan plan;
        plan.box = {divided<int>(shape.depth, divisions), height, width};
        const Box input = plan.box.grown();
        plan.places = {input.height, Places::stride_of(input.width)};
        const int input_bytes = plan.places.height * plan.places.stride * kVoxelBytes;
        const int gradient_bytes = height * Places::stride_of(width) * kVoxelBytes;
        plan.shared_bytes = size_t(kInputSlots) * input_bytes + size_t(kGradientSlots) * gradient_bytes;
        if (plan.shared_bytes > size_t(limits.shared_bytes)) break;
        const int64_t boxes = shape.samples * boxes_of(shape, plan.box).voxels();
        plan.parts = std::clamp<int64_t>(limits.multiprocessors / channel_groups<Value>(shape), 1, boxes);
        // Beside each fourteen multiplications two loads, and a pair of bfloat16 is taken apart; a row's window takes as
        // long to fill as some of its outputs.
        const double products = height * (width + 2.0) * Lanes<Value>::kChannels * kTaps;
        const double arithmetic =
            products / kMostProductsPerClock * (sizeof(Value) == 2 ? 20 : 16) / 14 * slowed_by_warps(kWarps);
        const double copies = double(input_bytes + gradient_bytes) / kBytesPerClock;
        plan.cost = divided<int>(boxes, plan.parts) *
                    (plan.box.depth * std::max(arithmetic, copies) + (kKernel - 1) * copies);
        if (best.cost == 0 || plan.cost < best.cost) best = plan;
      }
    }
  }
  return best;
}

}  // namespace

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
         sums, plan.box, boxes, plan.places, shape.samples * boxes.voxels());
}

#define FOR_VALUE(Value)                                                                                \
  template int64_t depthwise_weight_gradient_parts<Value>(const DepthwiseShape&);                       \
  template void correlate_depthwise(const DepthwiseShape&, const Value*, const Value*, float*, int64_t, \
                                    cudaStream_t);
FOR_VALUE(float)
FOR_VALUE(Bfloat16)
#undef FOR_VALUE

}  // namespace transfer_limits::cuda
