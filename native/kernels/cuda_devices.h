#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace transfer_limits::cuda {

struct Device {
  std::string name;
  int64_t memory_bytes = 0;
};

// The CUDA devices that this process may use, in their order; none in a build without CUDA, or without a driver.
std::vector<Device> devices();

// The version of CUDA that the kernels were compiled with, such as 13.0; empty in a build without.
std::string version();

// The most bytes of the device's memory that tensors have held so far, or since the last reset.
int64_t peak_memory(int64_t device);
void reset_peak_memory(int64_t device);

}  // namespace transfer_limits::cuda
