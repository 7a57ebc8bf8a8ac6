#include <c10/cuda/CUDACachingAllocator.h>
#include <cuda_runtime_api.h>

#include "kernels/cuda_devices.h"

namespace transfer_limits::cuda {

std::vector<Device> devices() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) return {};
  std::vector<Device> result;
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp properties{};
    if (cudaGetDeviceProperties(&properties, index) != cudaSuccess) continue;
    result.push_back({properties.name, int64_t(properties.totalGlobalMem)});
  }
  return result;
}

std::string version() {
  return std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION % 1000 / 10);
}

int64_t peak_memory(int64_t device) {
  const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(static_cast<c10::DeviceIndex>(device));
  return stats.allocated_bytes[0].peak;  // 0: of all pools together
}

void reset_peak_memory(int64_t device) {
  c10::cuda::CUDACachingAllocator::resetPeakStats(static_cast<c10::DeviceIndex>(device));
}

}  // namespace transfer_limits::cuda
