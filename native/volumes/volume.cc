#include "volumes/volume.h"

#include "error.h"

namespace transfer_limits::volumes {

at::Tensor require_volume(const at::Tensor& volume, const char* name, const at::Device& device) {
  require(volume.defined(), "Expected a tensor for ", name, " but received nothing");
  require(volume.dim() == 3 && volume.numel() > 0 && volume.scalar_type() == at::kFloat &&
              volume.device() == device,
          "Expected a float32 tensor [D, H, W] on ", device.is_cpu() ? "the CPU" : device.str(),
          " with at least one voxel for ", name, " but received ", c10::toString(volume.scalar_type()), " ",
          volume.sizes(), " on ", volume.device().str());
  return volume.contiguous();
}

}  // namespace transfer_limits::volumes
