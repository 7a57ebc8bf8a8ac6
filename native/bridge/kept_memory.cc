#include "bridge/kept_memory.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>
#include <malloc.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <new>
#include <vector>

namespace transfer_limits {
namespace {

// Smaller tensors stay with the C library, which keeps them itself.
constexpr size_t kLeastBytes = size_t(1) << 20;

// There is one alone, and it is never destroyed: tensors may outlive everything else. The size of a block is what the C
// library says of it.
class KeepingAllocator final : public c10::Allocator {
 public:
  static KeepingAllocator* own() {
    static auto* allocator = new KeepingAllocator(c10::GetCPUAllocator());
    return allocator;
  }

  c10::DataPtr allocate(size_t bytes) override {
    void* data = bytes < kLeastBytes ? nullptr : kept_block(bytes);
    if (data == nullptr) data = new_block(bytes);
    return {data, data, &release, c10::Device(c10::DeviceType::CPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &release; }

  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }

  // Gives back the blocks that were put aside longest ago, until at most `bytes` are kept.
  void shrink_to(size_t bytes) {
    std::vector<void*> leaving;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      while (kept_bytes_ > bytes) {
        const auto oldest = std::min_element(kept_.begin(), kept_.end(), [](const auto& a, const auto& b) {
          return a.second.age < b.second.age;
        });
        kept_bytes_ -= oldest->first;
        leaving.push_back(oldest->second.data);
        kept_.erase(oldest);
      }
    }
    for (void* data : leaving) inner_->raw_deleter()(data);
  }

  size_t kept_bytes() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return kept_bytes_;
  }

 private:
  struct Block {
    void* data;
    uint64_t age;
  };

  explicit KeepingAllocator(c10::Allocator* inner) : inner_(inner) {}

  // The smallest kept block of at least as many bytes, unless it is more than an eighth too large.
  void* kept_block(size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = kept_.lower_bound(bytes);
    if (found == kept_.end() || found->first > bytes + bytes / 8) return nullptr;
    void* data = found->second.data;
    kept_bytes_ -= found->first;
    hold(found->first);
    kept_.erase(found);
    return data;
  }

  void* new_block(size_t bytes) {
    if (bytes >= kLeastBytes) shrink_to(room_beside(bytes));
    void* data = nullptr;
    try {
      data = inner_->raw_allocate(bytes);
    } catch (const c10::Error&) {
      if (kept_bytes() == 0) throw;
      shrink_to(0);
      data = inner_->raw_allocate(bytes);
    }
    const size_t size = malloc_usable_size(data);
    if (size >= kLeastBytes) {
      const std::lock_guard<std::mutex> lock(mutex_);
      hold(size);
    }
    return data;
  }

  // How much may be kept beside what is held and a new block.
  size_t room_beside(size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const size_t held = held_bytes_ + bytes;
    return most_held_ > held ? most_held_ - held : 0;
  }

  void hold(size_t bytes) {
    held_bytes_ += bytes;
    most_held_ = std::max(most_held_, held_bytes_);
  }

  static void release(void* data) {
    if (data == nullptr) return;
    const size_t size = malloc_usable_size(data);
    KeepingAllocator& self = *own();
    if (size < kLeastBytes) return self.inner_->raw_deleter()(data);
    const std::lock_guard<std::mutex> lock(self.mutex_);
    self.held_bytes_ -= size;
    self.kept_bytes_ += size;
    self.kept_.emplace(size, Block{data, self.age_++});
  }

  c10::Allocator* inner_;
  std::mutex mutex_;
  std::multimap<size_t, Block> kept_;  // by size
  size_t kept_bytes_ = 0, held_bytes_ = 0, most_held_ = 0;
  uint64_t age_ = 0;
};

}  // namespace

void keep_tensor_memory() {
  static const bool once = [] {
    c10::SetCPUAllocator(KeepingAllocator::own(), /*priority=*/90);
    return true;
  }();
  (void)once;
}

void give_back_kept_memory() { KeepingAllocator::own()->shrink_to(0); }

}  // namespace transfer_limits
