#include <string>

#include "checks/checks.h"
#include "kernels/distortion.h"
#include "volumes/distortion.h"

namespace transfer_limits::checks {
namespace {

struct FieldCase {
  std::vector<int64_t> size;     // [D, H, W]
  std::vector<int64_t> control;  // [d, h, w]
  int64_t axis;
  double maximum_displacement, decay, least_jacobian;
  bool decays;
};

at::Tensor distorted(const Report& report, const at::Tensor& volume, const at::Tensor& distances,
                     const at::Tensor& control, const volumes::DistortionOptions& options) {
  if (report.target() != Target::kEmulatedCuda) {
    return volumes::distorted(volume.to(report.device()), distances.to(report.device()), control, options)
        .cpu();
  }
  return cuda::distorted(volume, distances, control, volumes::field_along_axis(options));
}

}  // namespace

// Beside the CPU's, which tests hold against SciPy.
void check_distortion(Report& report) {
  if (report.target() == Target::kCpu) return;
  // One voxel, flat axes, rows shorter and longer than a block, coefficients that are more than voxels; gentle fields, and
  // those that would fold
  const FieldCase cases[] = {{{9, 20, 17}, {4, 6, 5}, 1, 6.0, 8.0, 0.1, true},
                             {{9, 20, 17}, {5, 4, 7}, 2, 6.0, 8.0, 0.1, true},
                             {{9, 20, 17}, {4, 4, 4}, 0, 6.0, 8.0, 0.1, true},
                             {{1, 1, 1}, {4, 4, 4}, 1, 3.0, 5.0, 0.1, true},
                             {{1, 12, 30}, {4, 5, 9}, 1, 40.0, 5.0, 0.2, true},
                             {{6, 1, 30}, {4, 4, 9}, 1, 4.0, 5.0, 0.1, true},
                             {{3, 5, 300}, {4, 4, 20}, 2, 30.0, 50.0, 0.0, true},
                             {{5, 40, 129}, {6, 9, 40}, 1, 12.0, 10.0, 0.5, false},
                             {{4, 8, 8}, {4, 4, 4}, 1, 0.0, 5.0, 0.1, true}};
  uint64_t seed = 0;
  for (const FieldCase& c : cases) {
    volumes::DistortionOptions options;
    options.spacing = {3.0, 0.5, 0.75};
    options.axis = c.axis;
    options.maximum_displacement = c.maximum_displacement;
    options.decay = c.decay;
    options.least_jacobian = c.least_jacobian;
    const at::Tensor control = values(c.control, ++seed, at::kFloat);
    const at::Tensor distances =
        c.decays ? values(c.size, ++seed, at::kFloat).abs().mul(20) : at::zeros(c.size, at::kFloat);
    // A ramp along the axis shows where each voxel is taken from, in voxels.
    std::vector<int64_t> along(3, 1);
    along[size_t(c.axis)] = -1;
    const at::Tensor ramp =
        at::arange(c.size[size_t(c.axis)], at::kFloat).view(along).expand(c.size).contiguous();
    for (const bool is_ramp : {true, false}) {
      const at::Tensor volume = is_ramp ? ramp : values(c.size, ++seed, at::kFloat);
      const at::Tensor got = distorted(report, volume, distances, control, options);
      const at::Tensor wanted = volumes::distorted(volume, distances, control, options);
      report.judge(is_ramp ? "distortion, largest difference of displacements in voxels"
                           : "distortion, largest difference of intensities",
                   (got - wanted).abs().max().item<double>(), 1e-5);
    }
  }
}

}  // namespace transfer_limits::checks
