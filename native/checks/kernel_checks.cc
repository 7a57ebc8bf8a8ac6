// kernel_checks [cpu|cuda] [check]: compares every kernel, or those of one check, with a reference in float64, at odd
// sizes, in all layouts and types, and training by recorded steps with training by plain ones. `kernel_checks names`
// lists the checks.
#include <torch/cuda.h>

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "checks/checks.h"
#include "error.h"

namespace transfer_limits::checks {
namespace {

struct Check {
  std::string name;
  void (*run)(Report&);
};

const std::vector<Check>& checks() {
  static const std::vector<Check> all = {{"depthwise_conv3d", &check_depthwise_conv3d},
                                         {"device_clock", &check_device_clock},
                                         {"distortion", &check_distortion},
                                         {"expected_intensity", &check_expected_intensity},
                                         {"gelu_grn", &check_gelu_grn},
                                         {"group_norm", &check_group_norm},
                                         {"layer_norm", &check_layer_norm},
                                         {"mmd", &check_mmd},
                                         {"networks", &check_networks},
                                         {"numerics", &check_numerics},
                                         {"odd_widths", &check_odd_widths},
                                         {"devices", &check_devices},
                                         {"large_tensors", &check_large_tensors},
                                         {"ssim", &check_ssim},
                                         {"step_recorder", &check_step_recorder},
                                         {"paper_size", &check_paper_size},
                                         {"philox_normal", &check_philox_normal},
                                         {"philox_uniform", &check_philox_uniform},
                                         {"winograd_conv3d", &check_winograd_conv3d}};
  return all;
}

int print_names() {
  for (const Check& check : checks()) std::printf("%s\n", check.name.c_str());
  return 0;
}

Target target_named(const std::string& name) {
  if (name == "cpu") return Target::kCpu;
  if (name == "emulated") return Target::kEmulatedCuda;
  require(name == "cuda", "Expected cpu, cuda or emulated but received ", name);
  require(torch::cuda::is_available(), "Expected a CUDA device but this machine, or this build, has none");
  return Target::kCuda;
}

// An error ends its own check alone: the others are run and printed.
int run(const std::string& target, const std::string& only) {
  int64_t failed = 0, ran = 0;
  for (const Check& check : checks()) {
    if (!only.empty() && check.name != only) continue;
    ++ran;
    Report report(target_named(target));
    try {
      check.run(report);
    } catch (const std::exception& error) {
      std::printf("FAILED %s: %s\n", check.name.c_str(), error.what());
      ++failed;
    }
    failed += report.print();
  }
  require(ran > 0, "Expected the name of a check (see kernel_checks names) but received ", only);
  std::printf("%s\n", failed == 0 ? "All comparisons passed" : "SOME COMPARISONS FAILED");
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace transfer_limits::checks

int main(int count, char** arguments) {
  try {
    const std::string target = count > 1 ? arguments[1] : "cpu";
    if (target == "names") return transfer_limits::checks::print_names();
    return transfer_limits::checks::run(target, count > 2 ? arguments[2] : "");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
