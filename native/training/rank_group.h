#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "modules.h"

namespace transfer_limits {

// How a process finds the others that it trains with.
struct RankGroupOptions {
  int rank = 0;
  int ranks = 1;
  // Of the store in which the ranks leave each other what they need to meet: a server's address, or a file that all see.
  std::string host;
  uint16_t port = 0;
  bool serves = false;  // this process is that server
  std::string file;     // empty: the server
  std::string prefix;   // of what this group leaves in the store, which others may use too
  // By which address the others reach this process; empty: what its host's name stands for.
  std::string address;
  bool nccl = true;  // between GPUs; otherwise tensors of GPUs go by way of the CPU
  std::chrono::milliseconds join_timeout{std::chrono::minutes(5)};
  // Of one sum over all ranks. Those that have ended are noticed at once, by their connections.
  std::chrono::milliseconds timeout{std::chrono::hours(24)};
};

// What processes that train together leave each other, before, beside and after they do: at the server, or in the file, that
// the options name. Whatever fails throws RANK_DIED.
class RankStore {
 public:
  // Waits for the server, up to the time of joining.
  explicit RankStore(const RankGroupOptions& options);
  ~RankStore();
  RankStore(const RankStore&) = delete;
  RankStore& operator=(const RankStore&) = delete;

  void leave(const std::string& name, const std::string& text);
  // What lies there under that name; null: nothing yet.
  std::optional<std::string> find(const std::string& name);

 private:
  struct Connection;

  RankGroupOptions options_;
  std::unique_ptr<Connection> connection_;
};

// Several processes that train one network together, each on its part of every batch: LibTorch's c10d, by Gloo between
// CPUs and NCCL between GPUs. All ranks must call the same in the same order. Whatever fails throws RANK_DIED.
class RankGroup {
 public:
  // A sum that was started: `wait` returns when the tensor that it was given holds it.
  class Sum {
   public:
    virtual ~Sum() = default;
    virtual void wait() = 0;
  };

  // Joins the others: returns when all are there.
  explicit RankGroup(RankGroupOptions options);
  ~RankGroup();
  RankGroup(const RankGroup&) = delete;
  RankGroup& operator=(const RankGroup&) = delete;

  int rank() const { return options_.rank; }
  int ranks() const { return options_.ranks; }

  // Adds a contiguous tensor up over all ranks, in place. What comes out is the same on all, to the bit.
  void sum(const at::Tensor& tensor) { start_sum(tensor)->wait(); }
  std::unique_ptr<Sum> start_sum(const at::Tensor& tensor);
  // Every rank's tensors become those of rank 0.
  void take_from_first(const std::vector<at::Tensor>& tensors);

 private:
  struct Connections;

  // Gives every rank what it returns on rank 0.
  std::string text_of_first(const std::string& name, const std::function<std::string()>& of_first);

  RankGroupOptions options_;
  std::unique_ptr<Connections> connections_;
};

namespace cuda {

// NCCL between the GPUs of several processes.
class Nccl {
 public:
  Nccl() = default;
  Nccl(const Nccl&) = delete;
  Nccl& operator=(const Nccl&) = delete;
  virtual ~Nccl() = default;
  // On a stream of its own, after what is on the present one by now.
  virtual std::unique_ptr<RankGroup::Sum> start_sum(const at::Tensor& tensor) = 0;
};

// `exchange` gives every rank what it returns on rank 0. Throws BAD_INPUT in a build without CUDA.
std::unique_ptr<Nccl> nccl(const at::Device& device, int rank, int ranks,
                           const std::function<std::string(const std::function<std::string()>&)>& exchange);

}  // namespace cuda
}  // namespace transfer_limits
