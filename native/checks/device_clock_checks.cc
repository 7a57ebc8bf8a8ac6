#include <chrono>

#include "checks/checks.h"
#include "kernels/device_clock.h"

namespace transfer_limits::checks {
namespace {

// A device whose clock is set by hand, and which passes a mark once its clock says so.
struct Timeline {
  double now = 0;     // of the host: what of the device's work is done by now
  double queued = 0;  // when the device will be done with all that was asked for
  int made = 0;
};

class HandMark final : public Mark {
 public:
  explicit HandMark(Timeline& timeline) : timeline_(&timeline) { ++timeline.made; }
  void set() override { at_ = std::max(timeline_->now, timeline_->queued); }
  bool passed() const override { return at_ <= timeline_->now; }
  void wait() const override { timeline_->now = std::max(timeline_->now, at_); }
  double milliseconds_since(const Mark& earlier) const override {
    return at_ - static_cast<const HandMark&>(earlier).at_;
  }

 private:
  Timeline* timeline_;
  double at_ = 0;
};

at::Tensor number(double value) { return at::full({1}, value, at::kDouble); }

void check_by_hand(Report& report) {
  Timeline timeline;
  DeviceClock clock([&timeline] { return std::make_unique<HandMark>(timeline); });
  const auto work = [&](double milliseconds) {
    const DeviceClock::Work piece(&clock);
    timeline.queued = std::max(timeline.now, timeline.queued) + milliseconds;
  };
  // Two pieces that are queued one behind the other, a pause of the device, and one more.
  work(10);
  work(5);
  timeline.now = 100;
  work(2.5);
  report.compare("device's milliseconds, pieces that are queued and a pause", number(clock.milliseconds()),
                 number(17.5), 1e-12);
  {
    const DeviceClock::Work nothing(nullptr);
  }
  report.compare("device's milliseconds, nothing more was done", number(clock.milliseconds()), number(17.5),
                 1e-12);
  for (int piece = 0; piece < 1000; ++piece) {
    work(1);
    timeline.now = timeline.queued;
  }
  report.compare("device's milliseconds, a thousand pieces", number(clock.milliseconds()), number(1017.5),
                 1e-12);
  report.compare("marks are used again", number(std::min(timeline.made, 8)), number(timeline.made), 0.0);
}

// Products that take some tens of milliseconds, by the host's clock around them, once and with a pause within.
void check_on_gpu(Report& report) {
  const at::Device device = report.device();
  DeviceClock clock(marks_on(device));
  const at::Tensor matrix = at::ones({4096, 4096}, at::TensorOptions(device).dtype(at::kFloat));
  const auto multiply = [&] {
    const DeviceClock::Work work(&clock);
    at::Tensor product = matrix;
    for (int repeat = 0; repeat < 20; ++repeat) product = at::mm(product, matrix).mul_(1e-4);
    return product;
  };
  const auto wait = [&](const at::Tensor& product) { product[0][0].item<float>(); };
  wait(multiply());
  const double before = clock.milliseconds();
  const auto started = std::chrono::steady_clock::now();
  wait(multiply());
  const double host =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - started).count();
  const double own = clock.milliseconds() - before;
  report.compare("device's milliseconds beside the host's", number(own), number(host), 0.2);
}

}  // namespace

void check_device_clock(Report& report) {
  if (report.target() == Target::kEmulatedCuda) return;
  check_by_hand(report);
  if (report.target() == Target::kCuda) check_on_gpu(report);
}

}  // namespace transfer_limits::checks
