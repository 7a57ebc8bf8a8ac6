// A phantom of multiparametric prostate MRI: images whose truth is known, so that the whole way from files to the
// report can run, and be tested, without a patient's data. What is anatomy is decided in src/cohort/phantom-anatomy.ts;
// here are only the signal equations and the noise.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "tensor.h"

namespace transfer_limits::volumes {

// One superellipsoid of tissue, painted over those before it. Millimetres; the patient's axes x (to the left), y (to
// the back), z (to the head).
struct Tissue {
  int64_t label = 0;
  std::array<double, 3> centre{}, radii{};
  double rotation = 0;  // about z, in degrees, from x towards y
  double t2_milliseconds = 0;
  double adc = 0;  // 1e-6 mm²/s
  double proton_density = 0;
  double texture = 0;       // amplitude of smooth texture, as a share of T2
  double texture_size = 1;  // its size in mm
  double fat = 0;           // share of the signal that comes from fat, which diffusion imaging suppresses
  double roundness = 2;     // |x/a|^p + |y/b|^p + |z/c|^p <= 1: 2 is an ellipsoid, more is boxier
};

struct Background {
  double t2_milliseconds = 0, adc = 0, proton_density = 0;
};

struct Grid {
  std::array<int64_t, 3> shape{};             // [D, H, W]
  std::array<double, 12> voxel_to_patient{};  // row-major 3x4: (k, j, i, 1) -> (x, y, z) in mm
  std::array<double, 3> spacing{};            // [D, H, W] in mm; the lengths of the first three columns above
};

struct Scene {
  Background background;
  std::vector<Tissue> tissues;
  Grid t2w_grid;
  double t2w_echo_milliseconds = 0;
  Grid diffusion_grid;
  double diffusion_echo_milliseconds = 0;
  double high_b = 0;  // s/mm²
  double noise = 0;   // standard deviation of the complex noise, as a share of the image's brightest tissue
  double bias_field = 0;  // relative amplitude of the smooth coil sensitivity
  uint64_t seed = 0;
};

// The b value of the image that the ADC map is computed from together with the high-b image, in s/mm². PI-RADS v2.1
// recommends 50 to 100 rather than 0, so that perfusion does not enter the map.
inline constexpr double kLowB = 50;

// Each float32 [D, H, W]: `t2w` and `labels` on the T2W grid, `adc` (1e-6 mm²/s, 0 to 4000) and `hbv` on the other.
struct Rendering {
  at::Tensor t2w, adc, hbv, labels;
};

// Signals: S = PD exp(-TE / T2), and (1 - fat) exp(-b ADC) of that for diffusion; voxels across an edge mix the signals of both
// tissues in proportion. Noise is Rician, sqrt((S + n1)² + n2²) with n1, n2 normal: on T2W a share of the brightest
// tissue there, on both diffusion images a share of the brightest without diffusion weighting. ADC is the log ratio of
// the two noisy diffusion images, and 0 where the low-b image does not stand out of the noise (below three standard
// deviations), as scanners mask it. All randomness is a hash of (seed, image, voxel): the same on any number of threads.
Rendering render_phantom(const Scene& scene);

}  // namespace transfer_limits::volumes
