// Bringing a volume's values to a common scale: T2W and high-b have no unit, and differ from scanner to scanner.
#pragma once

#include "tensor.h"

namespace transfer_limits::volumes {

// Linear, so that the `low`-th and `high`-th percentiles (0 to 100) of the voxels become 0 and 1; clipped there.
// Percentiles are interpolated linearly between the two nearest ranks, as numpy.percentile does by default. Where both
// percentiles are equal, voxels above become 1 and all others 0: a constant volume becomes zeros.
at::Tensor normalise_percentiles(const at::Tensor& volume, double low, double high);

// Linear, so that the values `low` and `high` become 0 and 1; clipped there. For images that have a unit, such as ADC.
at::Tensor normalise_range(const at::Tensor& volume, double low, double high);

// Every voxel minus the mean, divided by the (population) standard deviation of the voxels above 0. Zeros when there is
// no such voxel, or all are equal.
at::Tensor normalise_z_score(const at::Tensor& volume);

}  // namespace transfer_limits::volumes
