#include "kernels/device_clock.h"

#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace transfer_limits {
namespace {

class EventMark final : public Mark {
 public:
  explicit EventMark(const at::Device& device)
      : device_(device), event_(device.type(), c10::EventFlag::BACKEND_DEFAULT) {}  // one that takes the time

  void set() override { event_.record(c10::impl::VirtualGuardImpl(device_.type()).getStream(device_)); }
  bool passed() const override { return event_.query(); }
  void wait() const override { event_.synchronize(); }
  double milliseconds_since(const Mark& earlier) const override {
    return static_cast<const EventMark&>(earlier).event_.elapsedTime(event_);
  }

 private:
  at::Device device_;
  c10::Event event_;
};

}  // namespace

std::function<std::unique_ptr<Mark>()> marks_on(const at::Device& device) {
  // A GPU without a number is the first.
  const at::Device numbered(device.type(), device.has_index() ? device.index() : c10::DeviceIndex(0));
  return [numbered] { return std::make_unique<EventMark>(numbered); };
}

std::unique_ptr<Mark> DeviceClock::placed_mark() {
  std::unique_ptr<Mark> mark;
  if (spare_.empty()) {
    mark = make_();
  } else {
    mark = std::move(spare_.front());
    spare_.pop_front();
  }
  mark->set();
  return mark;
}

// To measure must never be what fails: where a device can't be marked, work on it fails with its own error.
void DeviceClock::begin() noexcept {
  try {
    begun_ = placed_mark();
  } catch (...) {
    begun_.reset();
  }
}

void DeviceClock::end() noexcept {
  if (!begun_) return;
  try {
    pieces_.push_back({std::move(begun_), placed_mark()});
    count(/*waiting=*/false);
  } catch (...) {
    begun_.reset();
  }
}

double DeviceClock::milliseconds() {
  count(/*waiting=*/true);
  return sum_;
}

void DeviceClock::count(bool waiting) {
  while (!pieces_.empty()) {
    Piece& piece = pieces_.front();
    if (waiting) piece.end->wait();
    if (!waiting && !piece.end->passed()) return;
    sum_ += piece.end->milliseconds_since(*piece.begin);
    spare_.push_back(std::move(piece.begin));
    spare_.push_back(std::move(piece.end));
    pieces_.pop_front();
  }
}

}  // namespace transfer_limits
