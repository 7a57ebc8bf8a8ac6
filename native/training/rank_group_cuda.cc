#include <c10/core/Event.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <cstring>
#include <optional>
#include <utility>

#include "error.h"
#include "training/rank_group.h"

// Of <torch/csrc/cuda/nccl.h>, which reads headers of cuBLAS that compiling needs nowhere else.
namespace torch::cuda::nccl {

struct ncclUniqueId {
  char internal[128];
};
void get_unique_id(ncclUniqueId& id);
void* comm_init_rank(int ranks, const ncclUniqueId& id, int rank);
void comm_destroy(void* communicator);
void all_reduce(const std::vector<at::Tensor>& inputs, std::vector<at::Tensor>& outputs, int32_t operation,
                const std::vector<std::optional<c10::cuda::CUDAStream>>& streams,
                const std::vector<void*>& communicators);

}  // namespace torch::cuda::nccl

namespace transfer_limits::cuda {
namespace {

namespace library = torch::cuda::nccl;

constexpr int32_t kSum = 0;

class NcclSum final : public RankGroup::Sum {
 public:
  NcclSum(at::Tensor tensor, const c10::cuda::CUDAStream& stream)
      : tensor_(std::move(tensor)), done_(c10::DeviceType::CUDA) {
    done_.record(stream.unwrap());
  }

  void wait() override { done_.block(c10::cuda::getCurrentCUDAStream(tensor_.device().index()).unwrap()); }

 private:
  at::Tensor tensor_;  // lives until the sum is waited for
  c10::Event done_;
};

class NcclOfRank final : public Nccl {
 public:
  NcclOfRank(const at::Device& device, int rank, int ranks, const library::ncclUniqueId& id)
      : stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/true, device.index())) {
    const c10::cuda::CUDAGuard guard(device);
    communicator_ = library::comm_init_rank(ranks, id, rank);
  }

  // Not destroyed: to do so would wait for ranks that may have ended. It ends with the process.
  std::unique_ptr<RankGroup::Sum> start_sum(const at::Tensor& tensor) override {
    c10::Event ready(c10::DeviceType::CUDA);
    ready.record(c10::cuda::getCurrentCUDAStream(tensor.device().index()).unwrap());
    ready.block(stream_.unwrap());
    const c10::cuda::CUDAStreamGuard guard(stream_);
    std::vector<at::Tensor> outputs{tensor};
    library::all_reduce({tensor}, outputs, kSum, {stream_}, {communicator_});
    c10::cuda::CUDACachingAllocator::recordStream(tensor.storage().data_ptr(), stream_);
    return std::make_unique<NcclSum>(tensor, stream_);
  }

 private:
  c10::cuda::CUDAStream stream_;
  void* communicator_ = nullptr;
};

}  // namespace

std::unique_ptr<Nccl> nccl(const at::Device& device, int rank, int ranks,
                           const std::function<std::string(const std::function<std::string()>&)>& exchange) {
  const std::string text = exchange([] {
    library::ncclUniqueId id;
    library::get_unique_id(id);
    return std::string(id.internal, sizeof id.internal);
  });
  library::ncclUniqueId id;
  if (text.size() != sizeof id.internal) throw Error("INTERNAL", "NCCL's name of a group has another length");
  std::memcpy(id.internal, text.data(), sizeof id.internal);
  return std::make_unique<NcclOfRank>(device, rank, ranks, id);
}

}  // namespace transfer_limits::cuda
