// What stands for NCCL in a build without CUDA.
#include "error.h"
#include "training/rank_group.h"

namespace transfer_limits::cuda {

std::unique_ptr<Nccl> nccl(const at::Device& device, int, int,
                           const std::function<std::string(const std::function<std::string()>&)>&) {
  throw Error("BAD_INPUT",
              "Expected a build with CUDA to add tensors up on " + device.str() +
                  " but this one has none. The command doctor says how to build the CUDA flavour");
}

}  // namespace transfer_limits::cuda
