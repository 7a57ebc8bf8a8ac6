#include "bridge/memory_limit.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>
#include <malloc.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <string>

#include "bridge/kept_memory.h"
#include "error.h"

namespace transfer_limits {
namespace {

constexpr const char* kLimitVariable = "TRANSFER_LIMITS_TENSOR_BYTES";

// Hands requests on to the allocator before it as long as all that is held stays within a limit. There is one alone, and
// it is never destroyed: tensors may outlive everything else.
class LimitedAllocator final : public c10::Allocator {
 public:
  static LimitedAllocator* create(int64_t limit) {
    own_ = new LimitedAllocator(c10::GetCPUAllocator(), limit);
    c10::SetCPUAllocator(own_, /*priority=*/100);
    return own_;
  }

  c10::DataPtr allocate(size_t bytes) override {
    const int64_t held = held_;
    if (int64_t(bytes) > limit_ - held) {
      TORCH_CHECK_WITH(OutOfMemoryError, false, "CPU out of memory. Tried to allocate ", bytes, " bytes. ",
                       kLimitVariable, " allows ", limit_, " bytes of which ", limit_ - held,
                       " bytes is free");
    }
    c10::DataPtr data = inner_->allocate(bytes);
    held_ += int64_t(malloc_usable_size(data.get()));
    TORCH_CHECK(data.compare_exchange_deleter(inner_->raw_deleter(), &release),
                "LibTorch's allocator has an unexpected deleter");
    return data;
  }

  c10::DeleterFnPtr raw_deleter() const override { return &release; }

  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }

  int64_t left() const { return std::max<int64_t>(0, limit_ - held_); }

 private:
  LimitedAllocator(c10::Allocator* inner, int64_t limit) : inner_(inner), limit_(limit) {}

  static void release(void* data) {
    own_->held_ -= int64_t(malloc_usable_size(data));
    own_->inner_->raw_deleter()(data);
  }

  inline static LimitedAllocator* own_ = nullptr;
  c10::Allocator* inner_;
  int64_t limit_;
  std::atomic<int64_t> held_ = 0;
};

int64_t limit_of_environment() {
  const char* text = std::getenv(kLimitVariable);
  if (text == nullptr || *text == '\0') return 0;
  char* end = nullptr;
  errno = 0;
  const long long bytes = std::strtoll(text, &end, 10);
  require(errno == 0 && *end == '\0' && bytes > 0, "Expected a number of bytes above 0 for ", kLimitVariable,
          " but received ", text);
  return bytes;
}

const LimitedAllocator* limited() {
  static const int64_t limit = limit_of_environment();
  static const LimitedAllocator* allocator = limit > 0 ? LimitedAllocator::create(limit) : nullptr;
  return allocator;
}

// Of the line of a file in /proc that begins with `key`, such as "MemAvailable:  123 kB"; 0 where there is none.
int64_t bytes_in_proc(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(key, 0) == 0) return std::strtoll(line.c_str() + key.size(), nullptr, 10) * 1024;
  }
  return 0;
}

}  // namespace

void limit_tensor_memory() { limited(); }

int64_t free_cpu_memory() {
  give_back_kept_memory();
  int64_t result = bytes_in_proc("/proc/meminfo", "MemAvailable:");
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    const int64_t left = int64_t(limit.rlim_cur) - bytes_in_proc("/proc/self/status", "VmSize:");
    result = std::min(result, std::max<int64_t>(0, left));
  }
  return limited() == nullptr ? result : std::min(result, limited()->left());
}

}  // namespace transfer_limits
