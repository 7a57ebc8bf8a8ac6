#pragma once

#include <string>
#include <vector>

#include "modules.h"

namespace transfer_limits::checks {

// Where the kernels run that are checked.
enum class Target : uint8_t { kCpu, kCuda, kEmulatedCuda };

// Collects comparisons with references and prints one line for each kind of them.
class Report {
 public:
  explicit Report(Target target) : target_(target) {}

  Target target() const { return target_; }
  // Where tensors are to lie: the emulated kernels take those on the CPU.
  at::Device device() const { return target_ == Target::kCuda ? at::kCUDA : at::kCPU; }

  // The relative L2 difference of `got` from `reference` (float64) must not be above `tolerance`.
  void compare(const std::string& what, const at::Tensor& got, const at::Tensor& reference, double tolerance);

  // The same for an error that was computed already.
  void judge(const std::string& what, double error, double tolerance);

  // Something could not be compared at all.
  void fail(const std::string& what);

  // Prints what was compared since it was last called. The number of comparisons that failed, of all so far.
  int64_t print();

 private:
  struct Line {
    std::string what;
    double worst = 0;
    double tolerance = 0;
    int64_t count = 0;
    int64_t failed = 0;
  };
  Target target_;
  std::vector<Line> lines_;
  int64_t failed_ = 0;  // in lines that were printed
};

// Values between -1 and 1 that look random and are the same everywhere.
at::Tensor values(at::IntArrayRef sizes, uint64_t seed, at::ScalarType type);

// The same values in another layout: dense, channels-last, or part of a larger tensor.
std::vector<at::Tensor> layouts(const at::Tensor& tensor);

void check_depthwise_conv3d(Report& report);
void check_device_clock(Report& report);
void check_devices(Report& report);
void check_distortion(Report& report);
void check_expected_intensity(Report& report);
void check_gelu_grn(Report& report);
void check_group_norm(Report& report);
void check_large_tensors(Report& report);
void check_layer_norm(Report& report);
void check_mmd(Report& report);
void check_networks(Report& report);
void check_numerics(Report& report);
void check_odd_widths(Report& report);
void check_paper_size(Report& report);
void check_philox_normal(Report& report);
void check_philox_uniform(Report& report);
void check_ssim(Report& report);
void check_step_recorder(Report& report);
void check_winograd_conv3d(Report& report);

}  // namespace transfer_limits::checks
