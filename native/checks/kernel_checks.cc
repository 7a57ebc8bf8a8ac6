// kernel_checks [cpu|cuda]: compares every kernel with a reference in float64, at odd sizes, in all layouts and types,
// and training by recorded steps with training by plain ones.
#include <cstdio>
#include <exception>
#include <string>

#include "checks/checks.h"
#include "error.h"

namespace transfer_limits::checks {
namespace {

using Check = void (*)(Report&);

Target target_named(const std::string& name) {
  if (name == "cpu") return Target::kCpu;
  if (name == "emulated") return Target::kEmulatedCuda;
  require(name == "cuda", "Expected cpu, cuda or emulated but received ", name);
  require(torch::cuda::is_available(), "Expected a CUDA device but this machine, or this build, has none");
  return Target::kCuda;
}

int run(const std::string& name) {
  Report report(target_named(name));
  const Check checks[] = {
      &check_depthwise_conv3d, &check_expected_intensity, &check_gelu_grn, &check_mmd, &check_ssim,
      &check_step_recorder};
  for (const Check check : checks) check(report);
  const int64_t failed = report.print();
  std::printf("%s\n", failed == 0 ? "All comparisons passed" : "SOME COMPARISONS FAILED");
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace transfer_limits::checks

int main(int count, char** arguments) {
  try {
    return transfer_limits::checks::run(count > 1 ? arguments[1] : "cpu");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
