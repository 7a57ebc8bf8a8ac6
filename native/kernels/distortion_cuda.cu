#include "kernels/distortion_cuda.h"

namespace transfer_limits::cuda {
namespace {

constexpr int kThreads = 128;

// The largest of the block's values, for its first thread.
__device__ double largest_of_block(double value) {
  __shared__ double gathered[kThreads];
  gathered[threadIdx.x] = value;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (int(threadIdx.x) < half)
      gathered[threadIdx.x] = max(gathered[threadIdx.x], gathered[int(threadIdx.x) + half]);
    __syncthreads();
  }
  return gathered[0];
}

// A block a row of voxels: the 16 rows of coefficients that it sees become one, along which each voxel sees four.
__global__ void __launch_bounds__(kThreads)
    shape_kernel(FieldShape shape, const float* __restrict__ distances, const float* __restrict__ control,
                 double* __restrict__ values, double* __restrict__ largest_of_rows) {
  DYNAMIC_SHARED(shared);
  double* row_nodes = reinterpret_cast<double*>(shared);  // [coefficients along W]
  const int64_t row = blockIdx.x, width = shape.size[2], nodes = shape.coefficients[2];
  const SplineWeights d = spline_weights(row / shape.size[1], shape.size[0], shape.coefficients[0]);
  const SplineWeights h = spline_weights(row % shape.size[1], shape.size[1], shape.coefficients[1]);
  for (int64_t node = threadIdx.x; node < nodes; node += kThreads) {
    double sum = 0;
    for (int a = 0; a < 4; ++a) {
      for (int b = 0; b < 4; ++b) {
        const int64_t at = ((d.first + a) * shape.coefficients[1] + h.first + b) * nodes + node;
        sum += d.weights[a] * h.weights[b] * double(control[at]);
      }
    }
    row_nodes[node] = sum;
  }
  __syncthreads();
  double largest = 0;
  for (int64_t i = threadIdx.x; i < width; i += kThreads) {
    const SplineWeights w = spline_weights(i, width, nodes);
    double noise = 0;
    for (int c = 0; c < 4; ++c) noise += w.weights[c] * row_nodes[w.first + c];
    const double value = exp(-double(distances[row * width + i]) / shape.field.decay) * noise;
    values[row * width + i] = value;
    largest = max(largest, fabs(value));
  }
  largest = largest_of_block(largest);
  if (threadIdx.x == 0) largest_of_rows[row] = largest;
}

// Voxels from one to the next along the axis of the field, and which of them a voxel of a row is.
struct AlongAxis {
  int64_t step, length, place_of_row;
  bool is_width;
  __device__ int64_t place(int64_t i) const { return is_width ? i : place_of_row; }
};

__device__ AlongAxis along_axis(const FieldShape& shape, int64_t row) {
  const int64_t height = shape.size[1], width = shape.size[2];
  if (shape.field.axis == 0) return {height * width, shape.size[0], row / height, false};
  if (shape.field.axis == 1) return {width, height, row % height, false};
  return {1, width, 0, true};
}

__global__ void __launch_bounds__(kThreads)
    fall_kernel(FieldShape shape, const double* __restrict__ values, double* __restrict__ fall_of_rows) {
  const int64_t row = blockIdx.x, width = shape.size[2];
  const AlongAxis along = along_axis(shape, row);
  double steepest = 0;
  for (int64_t i = threadIdx.x; i < width; i += kThreads) {
    if (along.place(i) == 0) continue;
    const double* here = values + row * width + i;
    steepest = max(steepest, here[-along.step] - *here);
  }
  steepest = largest_of_block(steepest);
  if (threadIdx.x == 0) fall_of_rows[row] = steepest;
}

__global__ void __launch_bounds__(kThreads)
    warp_kernel(FieldShape shape, const double* __restrict__ extremes, const double* __restrict__ values,
                const float* __restrict__ volume, float* __restrict__ out) {
  const int64_t row = blockIdx.x, width = shape.size[2];
  const AlongAxis along = along_axis(shape, row);
  const double factor = field_scaling(shape.field, extremes[0], extremes[1]).factor;
  for (int64_t i = threadIdx.x; i < width; i += kThreads) {
    const int64_t voxel = row * width + i, place = along.place(i);
    // As a field is stored
    const float u = float(factor * values[voxel]);
    const double position = min(max(double(place) + double(u), 0.0), double(along.length - 1));
    const int64_t low = min(int64_t(position), along.length - 1), high = min(low + 1, along.length - 1);
    const float* line = volume + voxel - place * along.step;
    const double below = line[low * along.step], above = line[high * along.step];
    out[voxel] = float(below + (above - below) * (position - double(low)));
  }
}

dim3 rows_of(const FieldShape& shape) { return {unsigned(shape.size[0] * shape.size[1])}; }

}  // namespace

void shape_field(const FieldShape& shape, const float* distances, const float* control, double* values,
                 double* largest_of_rows, cudaStream_t stream) {
  launch(shape_kernel, rows_of(shape), dim3(kThreads), size_t(shape.coefficients[2]) * sizeof(double), stream,
         shape, distances, control, values, largest_of_rows);
}

void steepest_falls(const FieldShape& shape, const double* values, double* fall_of_rows,
                    cudaStream_t stream) {
  launch(fall_kernel, rows_of(shape), dim3(kThreads), 0, stream, shape, values, fall_of_rows);
}

void warp_along_axis(const FieldShape& shape, const double* extremes, const double* values,
                     const float* volume, float* out, cudaStream_t stream) {
  launch(warp_kernel, rows_of(shape), dim3(kThreads), 0, stream, shape, extremes, values, volume, out);
}

}  // namespace transfer_limits::cuda
