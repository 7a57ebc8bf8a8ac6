#include "checks/cuda_emulator.h"

#include <ucontext.h>

#include <cstdlib>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace emulated_cuda {
namespace {

constexpr unsigned kWarp = 32;
constexpr size_t kStack = size_t{256} << 10;
constexpr size_t kLargestExchange = 16;

enum class State : uint8_t { kReady, kAtBarrier, kInExchange, kFinished };

struct Fiber {
  ucontext_t context{};
  std::unique_ptr<char[]> stack = std::make_unique<char[]>(kStack);
  State state = State::kReady;
  dim3 thread;
  unsigned char value[kLargestExchange];
};

struct Block {
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::unique_ptr<unsigned char[]> shared;
  ucontext_t scheduler{};
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

void enter() {
  (*state.thread)();
  state.running->state = State::kFinished;
  swapcontext(&state.running->context, &state.scheduler);
}

void leave(State why) {
  Fiber* self = state.running;
  self->state = why;
  swapcontext(&self->context, &state.scheduler);
}

std::vector<size_t> arranged(size_t count) {
  std::vector<size_t> indices(count);
  std::iota(indices.begin(), indices.end(), size_t{0});
  static const std::string order = setting("EMULATED_CUDA_ORDER");
  if (order == "backwards") std::reverse(indices.begin(), indices.end());
  if (order == "shuffled") std::shuffle(indices.begin(), indices.end(), shuffling);
  return indices;
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
      state.running = &fiber;
      state.position.thread = fiber.thread;
      swapcontext(&state.scheduler, &fiber.context);
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

void exchange_in_warp(const void* mine, void* theirs, size_t bytes, unsigned lane) {
  if (bytes > kLargestExchange) throw std::runtime_error("A warp exchanges at most 16 bytes a thread");
  const unsigned warp = thread_in_block() / kWarp * kWarp;
  std::memcpy(state.running->value, mine, bytes);
  leave(State::kInExchange);
  std::memcpy(theirs, state.fibers[std::min<size_t>(warp + lane, state.fibers.size() - 1)]->value, bytes);
  leave(State::kInExchange);  // nobody writes the next value before all have read this one
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
      Fiber& fiber = *state.fibers[t];
      fiber.state = State::kReady;
      fiber.thread =
          dim3(unsigned(t % block.x), unsigned(t / block.x % block.y), unsigned(t / block.x / block.y));
      getcontext(&fiber.context);
      fiber.context.uc_stack.ss_sp = fiber.stack.get();
      fiber.context.uc_stack.ss_size = kStack;
      fiber.context.uc_link = nullptr;
      makecontext(&fiber.context, &enter, 0);
    }
    run_block();
  }
}

}  // namespace emulated_cuda

namespace transfer_limits::cuda {

DeviceLimits device_limits() {
  static const std::string shared = emulated_cuda::setting("EMULATED_CUDA_SHARED");
  return {shared.empty() ? 227 * 1024 : std::stoi(shared), 132};
}

}  // namespace transfer_limits::cuda
