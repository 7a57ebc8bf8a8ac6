#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "tensor.h"

namespace transfer_limits {

// A place in what a device does, one thing after the other: it is passed once all that was asked for before it is done.
class Mark {
 public:
  Mark() = default;
  Mark(const Mark&) = delete;
  Mark& operator=(const Mark&) = delete;
  virtual ~Mark() = default;

  virtual void set() = 0;
  virtual bool passed() const = 0;
  virtual void wait() const = 0;
  // Milliseconds of the device's own clock since an earlier mark; both are passed.
  virtual double milliseconds_since(const Mark& earlier) const = 0;
};

// Makes marks on a GPU's present stream: events of CUDA.
std::function<std::unique_ptr<Mark>()> marks_on(const at::Device& device);

// Adds up how long a device has worked, by its own clock: marks before and after each piece of work. What lies between two
// pieces, while the device has nothing to do, does not count; what the host is slow to ask for inside of one does. Nothing
// waits for the device until the sum is asked for. Of one thread alone.
class DeviceClock {
 public:
  explicit DeviceClock(std::function<std::unique_ptr<Mark>()> make) : make_(std::move(make)) {}

  // A piece of work, from its first to its last line. Null: nothing is measured.
  class Work {
   public:
    explicit Work(DeviceClock* clock) : clock_(clock) {
      if (clock_ != nullptr) clock_->begin();
    }
    ~Work() {
      if (clock_ != nullptr) clock_->end();
    }
    Work(const Work&) = delete;
    Work& operator=(const Work&) = delete;

   private:
    DeviceClock* clock_;
  };

  // Of all work that has ended; waits for the device.
  double milliseconds();

 private:
  struct Piece {
    std::unique_ptr<Mark> begin, end;
  };

  void begin() noexcept;
  void end() noexcept;
  // Counts the pieces that are done, from the first on.
  void count(bool waiting);
  std::unique_ptr<Mark> placed_mark();

  std::function<std::unique_ptr<Mark>()> make_;
  std::unique_ptr<Mark> begun_;
  std::deque<Piece> pieces_;
  std::deque<std::unique_ptr<Mark>> spare_;
  double sum_ = 0.0;
};

}  // namespace transfer_limits
