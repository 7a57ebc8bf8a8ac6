#pragma once

#include <cstdint>

#include "kernels/cuda_launch.h"

namespace transfer_limits::cuda {

// Logits [batch, depth, height, width, bins], and the volume that they are resized to.
struct IntensitySizes {
  int64_t batch, bins;
  int64_t depth, height, width;
  int64_t to_depth, to_height, to_width;
};

// Where the voxels of the resized volume lie, for the functions below: `table` has room for that many values.
int64_t intensity_table_values(const IntensitySizes& sizes);
void fill_intensity_table(const IntensitySizes& sizes, int32_t* table, cudaStream_t stream);

// The expectation of `centres` [bins] under the softmax of the resized logits: `answer` [batch, to_depth, to_height,
// to_width]. At most 128 bins.
void expect_intensity(const IntensitySizes& sizes, const int32_t* table, const float* logits,
                      const float* centres, float* answer, cudaStream_t stream);

// A cell is what lies between neighbouring voxels of the logits: how many of them it has, two along each axis that is
// resized.
int64_t intensity_corners(const IntensitySizes& sizes);

// What `gradient`, of the shape of `answer`, gives to the logits, first by cells: `cells` [batch, depth, height, width,
// corners, bins]; which is `result` where a cell has one corner, and is to be gathered otherwise.
void differentiate_intensity(const IntensitySizes& sizes, const int32_t* table, const float* logits,
                             const float* centres, const float* answer, const float* gradient, float* cells,
                             cudaStream_t stream);
void gather_cells(const IntensitySizes& sizes, const float* cells, float* result, cudaStream_t stream);

}  // namespace transfer_limits::cuda
