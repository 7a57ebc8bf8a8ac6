// From an image file to float32 voxels in one go: decompressed by libdeflate, where it was found, and converted while
// they are in the cache.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tensor.h"

namespace transfer_limits::volumes {

// Where the voxels of a file with a single volume lie, once it is decompressed. Little-endian.
struct StoredVolume {
  std::string type;  // "int16", "float64", ...
  int64_t first_byte = 0;
  int64_t voxels = 0;
  double slope = 1, intercept = 0;
};

struct DecodedVolume {
  at::Tensor voxels;       // [voxels], float32: stored value x slope + intercept, in float64, rounded once
  int64_t not_finite = 0;  // voxels that are NaN or infinite
};

// The volume of the file at `path`, of `file_bytes` bytes, decompressed if it is gzip; the last voxel must end it. Nothing
// where it is not exactly as described, or not sound: a slower reader can then say what is wrong with it.
std::optional<DecodedVolume> decode(const std::string& path, int64_t file_bytes, bool gzip,
                                    const StoredVolume& stored);

}  // namespace transfer_limits::volumes
