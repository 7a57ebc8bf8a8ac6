#define USE_C10D_GLOO
#include "training/rank_group.h"

#include <exception>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <utility>

#include "error.h"

namespace transfer_limits {
namespace {

// What c10d throws, in one line and with a code.
template <typename Work>
auto coded(const RankGroupOptions& options, const char* what, const Work& work) {
  try {
    return work();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    const std::string words = error.what();
    std::ostringstream message;
    message << "Rank " << options.rank << " of " << options.ranks << " lost the others while it " << what
            << ": " << words.substr(0, words.find('\n'));
    throw Error("RANK_DIED", message.str());
  }
}

std::vector<uint8_t> bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

std::string text_of(const std::vector<uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

c10::intrusive_ptr<c10d::Store> store_of(const RankGroupOptions& options) {
  c10::intrusive_ptr<c10d::Store> store;
  if (!options.file.empty()) {
    store = c10::make_intrusive<c10d::FileStore>(options.file, options.ranks);
  } else {
    c10d::TCPStoreOptions tcp;
    tcp.port = options.port;
    tcp.isServer = options.serves;
    tcp.numWorkers = options.ranks;
    tcp.waitWorkers = false;
    tcp.timeout = options.join_timeout;
    store = c10::make_intrusive<c10d::TCPStore>(options.host, tcp);
  }
  store->setTimeout(options.join_timeout);
  return c10::make_intrusive<c10d::PrefixStore>(options.prefix, store);
}

// By way of the CPU where the tensor lies on a GPU.
class GlooSum final : public RankGroup::Sum {
 public:
  GlooSum(const RankGroupOptions& options, c10d::ProcessGroupGloo& gloo, at::Tensor tensor)
      : options_(options), tensor_(std::move(tensor)) {
    const at::Tensor on_cpu = tensor_.cpu();
    moved_ = {on_cpu};
    work_ = gloo.allreduce(moved_);
  }

  void wait() override {
    coded(options_, "added tensors up", [this] {
      work_->wait();
      if (!tensor_.is_cpu()) tensor_.copy_(moved_[0]);
    });
  }

 private:
  const RankGroupOptions& options_;
  at::Tensor tensor_;
  std::vector<at::Tensor> moved_;
  c10::intrusive_ptr<c10d::Work> work_;
};

}  // namespace

struct RankGroup::Connections {
  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo;
  std::unique_ptr<cuda::Nccl> nccl;
};

RankGroup::RankGroup(RankGroupOptions options)
    : options_(std::move(options)), connections_(std::make_unique<Connections>()) {
  require(options_.ranks >= 1 && options_.rank >= 0 && options_.rank < options_.ranks,
          "Expected a rank from 0 to below the number of ranks but received ", options_.rank, " of ",
          options_.ranks);
  coded(options_, "waited for them to come", [this] {
    connections_->store = store_of(options_);
    auto gloo = c10d::ProcessGroupGloo::Options::create(options_.join_timeout);
    gloo->devices = {options_.address.empty()
                         ? c10d::ProcessGroupGloo::createDefaultDevice()
                         : c10d::ProcessGroupGloo::createDeviceForHostname(options_.address)};
    connections_->gloo =
        c10::make_intrusive<c10d::ProcessGroupGloo>(connections_->store, options_.rank, options_.ranks, gloo);
    // All are there once each has heard from each.
    std::vector<at::Tensor> one{at::ones({1})};
    c10d::AllreduceOptions joining;
    joining.timeout = options_.join_timeout;
    connections_->gloo->allreduce(one, joining)->wait();
    gloo->timeout = options_.timeout;
  });
}

RankGroup::~RankGroup() = default;

std::unique_ptr<RankGroup::Sum> RankGroup::start_sum(const at::Tensor& tensor) {
  require(tensor.is_contiguous(), "Expected a contiguous tensor to add up over ranks");
  if (tensor.is_cuda() && options_.nccl) {
    if (!connections_->nccl) {
      connections_->nccl = coded(options_, "made ready to use NCCL", [this, &tensor] {
        return cuda::nccl(
            tensor.device(), options_.rank, options_.ranks,
            [this](const std::function<std::string()>& of_first) { return text_of_first("nccl", of_first); });
      });
    }
    return connections_->nccl->start_sum(tensor);
  }
  return coded(options_, "added tensors up", [this, &tensor]() -> std::unique_ptr<Sum> {
    return std::make_unique<GlooSum>(options_, *connections_->gloo, tensor);
  });
}

void RankGroup::take_from_first(const std::vector<at::Tensor>& tensors) {
  coded(options_, "took the first one's state", [this, &tensors] {
    const torch::NoGradGuard no_grad;
    for (const at::Tensor& tensor : tensors) {
      std::vector<at::Tensor> moved{tensor.detach().cpu().contiguous()};
      connections_->gloo->broadcast(moved)->wait();
      if (options_.rank != 0) tensor.detach().copy_(moved[0]);
    }
  });
}

std::string RankGroup::text_of_first(const std::string& name, const std::function<std::string()>& of_first) {
  if (options_.rank == 0) connections_->store->set(name, bytes_of(of_first()));
  return text_of(connections_->store->get(name));
}

struct RankStore::Connection {
  c10::intrusive_ptr<c10d::Store> store;
};

RankStore::RankStore(const RankGroupOptions& options)
    : options_(options), connection_(std::make_unique<Connection>()) {
  coded(options_, "looked for where they meet", [this] { connection_->store = store_of(options_); });
}

RankStore::~RankStore() = default;

void RankStore::leave(const std::string& name, const std::string& text) {
  coded(options_, "left word for them", [&] { connection_->store->set(name, bytes_of(text)); });
}

std::optional<std::string> RankStore::find(const std::string& name) {
  return coded(options_, "looked for their word", [&]() -> std::optional<std::string> {
    if (!connection_->store->check({name})) return std::nullopt;
    return text_of(connection_->store->get(name));
  });
}

}  // namespace transfer_limits
