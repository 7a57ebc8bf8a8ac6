#include <setjmp.h>
#include <ucontext.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

#include <cstdlib>
#include <deque>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/cuda_launch.h"

namespace emulated_cuda {
namespace {

constexpr unsigned kWarp = 32;
constexpr size_t kStack = size_t{256} << 10;
constexpr size_t kLargestShown = 128;  // bytes a thread

enum class State : uint8_t { kReady, kAtBarrier, kInExchange, kFinished };

// AddressSanitizer is told which stack is used.
class Stack {
 public:
  Stack() = default;
  Stack(const void* bottom, size_t bytes) : bottom_(bottom), bytes_(bytes) {}
  // Before a jump to this stack from `from`, or from one that ends (null).
  void enter(Stack* from) const {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(from == nullptr ? nullptr : &from->kept_, bottom_, bytes_);
#endif
  }
  // After a jump to this stack, whose `from` is then known.
  void entered(Stack* from) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(kept_, &from->bottom_, &from->bytes_);
    kept_ = nullptr;
#endif
  }

 private:
  [[maybe_unused]] const void* bottom_ = nullptr;
  [[maybe_unused]] size_t bytes_ = 0;
  [[maybe_unused]] void* kept_ = nullptr;
};

struct Copy {
  void* to;
  const void* from;
  size_t bytes, zeros;
};

struct Fiber {
  ucontext_t start{};  // from which it is entered the first time
  bool entered = false;
  jmp_buf place;  // where it goes on
  std::unique_ptr<char[]> memory = std::make_unique<char[]>(kStack);
  Stack stack{memory.get(), kStack};
  State state = State::kReady;
  dim3 thread;
  // What it has shown to its warp the last two times: others may still read the one before.
  alignas(16) unsigned char shown[2][kLargestShown];
  unsigned showing = 0;
  // Groups of copies that have not happened; the last one is still open.
  std::deque<std::vector<Copy>> copies;
};

struct Block {
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::unique_ptr<unsigned char[]> shared;
  jmp_buf scheduler;
  Stack stack;  // the scheduler's
  Fiber* running = nullptr;
  Position position;
  const std::function<void()>* thread = nullptr;
};

// Blocks run one after another in one thread of the process, shuffled the same way each time. A check program may end
// where these can't be made.
// NOLINTBEGIN(bugprone-throwing-static-initialization,bugprone-random-generator-seed)
Block state;
std::mt19937_64 shuffling;
// NOLINTEND(bugprone-throwing-static-initialization,bugprone-random-generator-seed)

std::string setting(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Between fibers by jumps: swapcontext asks the kernel for the mask of signals each time, which takes longer than most
// of what a thread does between two barriers. Nothing on these frames has a destructor, and none is another function's: what
// returns twice must find its variables.
// NOLINTBEGIN(modernize-avoid-setjmp-longjmp,cert-err52-cpp)
[[gnu::noinline]] void leave(State why) {
  Fiber* self = state.running;
  self->state = why;
  if (_setjmp(self->place) == 0) {
    state.stack.enter(&self->stack);
    _longjmp(state.scheduler, 1);
  }
  self->stack.entered(&state.stack);
}

void enter() {
  state.running->stack.entered(&state.stack);
  (*state.thread)();
  state.running->state = State::kFinished;
  state.stack.enter(nullptr);
  _longjmp(state.scheduler, 1);
}

// Until it waits or returns.
[[gnu::noinline]] void run(Fiber& fiber) {
  state.running = &fiber;
  state.position.thread = fiber.thread;
  if (_setjmp(state.scheduler) != 0) {
    state.stack.entered(&fiber.stack);
    return;
  }
  fiber.stack.enter(&state.stack);
  if (fiber.entered) _longjmp(fiber.place, 1);
  fiber.entered = true;
  setcontext(&fiber.start);
}

// As the thread at that place of a block that begins.
[[gnu::noinline]] void prepare(Fiber& fiber, const dim3& thread) {
  fiber.state = State::kReady;
  fiber.copies.assign(1, {});
  fiber.thread = thread;
  fiber.entered = false;
  getcontext(&fiber.start);
  fiber.start.uc_stack.ss_sp = fiber.memory.get();
  fiber.start.uc_stack.ss_size = kStack;
  fiber.start.uc_link = nullptr;
  makecontext(&fiber.start, &enter, 0);
}
// NOLINTEND(modernize-avoid-setjmp-longjmp,cert-err52-cpp)

std::vector<size_t> arranged(size_t count) {
  std::vector<size_t> indices(count);
  std::iota(indices.begin(), indices.end(), size_t{0});
  static const std::string order = setting("EMULATED_CUDA_ORDER");
  if (order == "backwards") std::reverse(indices.begin(), indices.end());
  if (order == "shuffled") std::shuffle(indices.begin(), indices.end(), shuffling);
  return indices;
}

// Of a group of copies those that have not happened yet.
void happen(std::vector<Copy>& copies) {
  for (const Copy& copy : copies) {
    auto* to = static_cast<unsigned char*>(copy.to);
    std::memcpy(to, copy.from, copy.bytes - copy.zeros);
    std::memset(to + copy.bytes - copy.zeros, 0, copy.zeros);
  }
  copies.clear();
}

// Releases the fibers from `first` on that all wait in state `waiting`; whether there were any.
bool release(size_t first, size_t count, State waiting, const char* what) {
  size_t at = 0, finished = 0;
  const size_t last = std::min(first + count, state.fibers.size());
  for (size_t index = first; index < last; ++index) {
    if (state.fibers[index]->state == waiting) ++at;
    if (state.fibers[index]->state == State::kFinished) ++finished;
  }
  if (at == 0) return false;
  if (finished > 0) {
    throw std::runtime_error(std::string("A thread returned before ") + what + " that others wait at");
  }
  if (at < last - first) return false;
  for (size_t index = first; index < last; ++index) state.fibers[index]->state = State::kReady;
  return true;
}

void run_block() {
  for (;;) {
    bool progress = false;
    for (const size_t index : arranged(state.fibers.size())) {
      Fiber& fiber = *state.fibers[index];
      if (fiber.state != State::kReady) continue;
      run(fiber);
      progress = true;
    }
    if (std::all_of(state.fibers.begin(), state.fibers.end(),
                    [](const auto& fiber) { return fiber->state == State::kFinished; })) {
      return;
    }
    for (size_t warp = 0; warp < state.fibers.size(); warp += kWarp) {
      progress = release(warp, kWarp, State::kInExchange, "an exchange in its warp") || progress;
    }
    progress = release(0, state.fibers.size(), State::kAtBarrier, "a barrier") || progress;
    if (!progress) throw std::runtime_error("Threads of a block wait for each other at different places");
  }
}

}  // namespace

const Position& position() { return state.position; }

unsigned char* shared_memory() { return state.shared.get(); }

void wait_for_block() { leave(State::kAtBarrier); }

void show_to_warp(const void* mine, size_t bytes) {
  if (bytes > kLargestShown) throw std::runtime_error("A thread shows its warp at most 128 bytes");
  Fiber& self = *state.running;
  self.showing ^= 1U;
  std::memcpy(self.shown[self.showing], mine, bytes);
  leave(State::kInExchange);
}

const unsigned char* shown_by(unsigned lane) {
  const unsigned warp = thread_in_block() / kWarp * kWarp;
  const Fiber& other = *state.fibers[std::min<size_t>(warp + lane, state.fibers.size() - 1)];
  return other.shown[state.running->showing];
}

void add_products_of_warp(float* sums, const uint32_t* a, const uint32_t* b, int columns) {
  constexpr int kMostColumns = 8;
  struct Fragments {
    uint32_t a[4], b[kMostColumns][2];
  } mine{};
  if (columns > kMostColumns) throw std::runtime_error("A warp multiplies at most 64 columns at once");
  std::copy_n(a, 4, mine.a);
  std::copy_n(b, size_t(columns) * 2, &mine.b[0][0]);
  show_to_warp(&mine, sizeof(mine));
  const auto shown = [](unsigned lane) { return reinterpret_cast<const Fragments*>(shown_by(lane)); };
  const auto value_of = [](uint32_t word, unsigned half) {  // of two bfloat16 values in a word
    return transfer_limits::cuda::to_float(
        transfer_limits::cuda::Bfloat16{static_cast<uint16_t>(word >> (16 * half))});
  };
  const unsigned lane = thread_in_block() % kWarp, group = lane / 4, place = lane % 4;
  for (unsigned i = 0; i < 4;
       ++i) {  // this thread's products: rows `group` and 8 further on, columns 2 place and 1 more
    for (int c = 0; c < columns; ++c) {
      float& sum = sums[c * 4 + int(i)];
      for (unsigned feature = 0; feature < 16; ++feature) {  // whose values another thread holds
        const unsigned holder = feature % 8 / 2, half = feature % 2, far = feature / 8;
        const float left = value_of(shown(group * 4 + holder)->a[far * 2 + i / 2], half);
        const float right = value_of(shown((place * 2 + i % 2) * 4 + holder)->b[c][far], half);
        sum = std::fma(left, right, sum);
      }
    }
  }
}

void copy_later(void* to, const void* from, size_t bytes, size_t zeros) {
  state.running->copies.back().push_back({to, from, bytes, zeros});
  static const bool early = setting("EMULATED_CUDA_COPIES") == "early";
  if (early) happen(state.running->copies.back());
}

void close_group_of_copies() { state.running->copies.emplace_back(); }

void wait_for_copies(size_t groups_that_may_run) {
  auto& copies = state.running->copies;
  while (copies.size() > groups_that_may_run + 1) {  // the open one is not waited for
    happen(copies.front());
    copies.pop_front();
  }
}

void run_grid(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& thread) {
  const size_t threads = size_t(block.x) * block.y * block.z;
  if (threads == 0 || threads > 1024 || grid.y > 65535 || grid.z > 65535 || grid.x == 0 ||
      shared_bytes > size_t(transfer_limits::cuda::device_limits().shared_bytes)) {
    throw std::runtime_error("A grid of " + std::to_string(grid.x) + " x " + std::to_string(grid.y) + " x " +
                             std::to_string(grid.z) + " blocks of " + std::to_string(threads) +
                             " threads with " + std::to_string(shared_bytes) +
                             " bytes of shared memory is beyond the device's limits");
  }
  while (state.fibers.size() < threads) state.fibers.push_back(std::make_unique<Fiber>());
  state.fibers.resize(threads);
  state.thread = &thread;
  state.position.block_size = block;
  state.position.grid_size = grid;
  const size_t blocks = size_t(grid.x) * grid.y * grid.z;
  for (const size_t index : arranged(blocks)) {
    state.position.block =
        dim3(unsigned(index % grid.x), unsigned(index / grid.x % grid.y), unsigned(index / grid.x / grid.y));
    state.shared.reset(new unsigned char[shared_bytes]);
    std::memset(state.shared.get(), 0xff, shared_bytes);  // NaN in every type
    for (size_t t = 0; t < threads; ++t) {
      prepare(*state.fibers[t],
              dim3(unsigned(t % block.x), unsigned(t / block.x % block.y), unsigned(t / block.x / block.y)));
    }
    run_block();
  }
}

}  // namespace emulated_cuda

namespace transfer_limits::cuda {

DeviceLimits device_limits() {
  static const std::string shared = emulated_cuda::setting("EMULATED_CUDA_SHARED");
  return {shared.empty() ? 227 * 1024 : std::stoi(shared), 3};
}

}  // namespace transfer_limits::cuda
