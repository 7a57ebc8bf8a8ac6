#include "volumes/phantom.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "error.h"

namespace transfer_limits::volumes {
namespace {

using Vector = std::array<double, 3>;

constexpr double kLargestAdc = 4000;
constexpr double kMaskBelow = 3;  // standard deviations of the noise
constexpr int64_t kMostVoxels = int64_t{1} << 31;

// The streams of randomness; tissue `t` has the texture stream kTexture + t.
enum Stream : uint64_t { kT2wNoise = 1, kLowBNoise = 2, kHighBNoise = 3, kBiasField = 4, kTexture = 16 };

// --- Randomness -----------------------------------------------------------------------------------------------------

// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every bit of the input reaches every bit of the output.
uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

uint64_t hash(uint64_t seed, uint64_t stream, uint64_t counter) {
  return mix(mix(mix(seed) ^ stream) ^ counter);
}

// In (0, 1]: its logarithm is finite.
double unit(uint64_t bits) { return (static_cast<double>(bits >> 11) + 1) * 0x1p-53; }

// The magnitude of a signal after complex normal noise (Gudbjartsson and Patz 1995), by Box-Muller.
double rician(double signal, double sigma, uint64_t seed, uint64_t stream, uint64_t voxel) {
  const double radius = sigma * std::sqrt(-2 * std::log(unit(hash(seed, stream, 2 * voxel))));
  const double angle = 2 * std::numbers::pi * unit(hash(seed, stream, 2 * voxel + 1));
  return std::hypot(signal + radius * std::cos(angle), radius * std::sin(angle));
}

// Random values on a lattice of whole numbers, interpolated smoothly between them; in [-1, 1].
double value_noise(const Vector& position, uint64_t seed, uint64_t stream) {
  std::array<int64_t, 3> cell;
  Vector blend;
  for (int axis = 0; axis < 3; ++axis) {
    const double floor = std::floor(position[axis]);
    const double t = position[axis] - floor;
    cell[axis] = static_cast<int64_t>(floor);
    blend[axis] = t * t * (3 - 2 * t);
  }
  double sum = 0;
  for (int corner = 0; corner < 8; ++corner) {
    double weight = 1;
    uint64_t counter = 0;
    for (int axis = 0; axis < 3; ++axis) {
      const int step = (corner >> axis) & 1;
      weight *= step ? blend[axis] : 1 - blend[axis];
      counter = counter << 21 | (static_cast<uint64_t>(cell[axis] + step) & 0x1fffff);
    }
    sum += weight * (2 * unit(hash(seed, stream, counter)) - 1);
  }
  return sum;
}

// Two octaves: coarse patches with finer structure on them; in [-1, 1].
double texture(const Vector& p, double size, uint64_t seed, uint64_t stream) {
  const Vector coarse{p[0] / size, p[1] / size, p[2] / size};
  const Vector fine{2.3 * coarse[0] + 7.1, 2.3 * coarse[1] + 3.7, 2.3 * coarse[2] + 5.3};
  return (2 * value_noise(coarse, seed, stream) + value_noise(fine, seed, stream)) / 3;
}

// --- Checks ---------------------------------------------------------------------------------------------------------

// Farther than this from the origin, in mm, nothing is a patient.
constexpr double kFarthest = 1e6;

bool near(double millimetres) { return std::abs(millimetres) <= kFarthest; }

void check_grid(const Grid& grid, const char* name) {
  int64_t voxels = 1;
  for (int axis = 0; axis < 3; ++axis) {
    require(grid.shape[axis] > 0 && grid.shape[axis] <= 4096, "Expected sizes from 1 to 4096 for ", name,
            ".shape but received ", grid.shape[axis]);
    voxels *= grid.shape[axis];
    double length = 0;
    for (size_t row = 0; row < 3; ++row) length = std::hypot(length, grid.voxel_to_patient[4 * row + axis]);
    require(near(length) && length > 0 && std::abs(length - grid.spacing[axis]) <= 1e-3 * length,
            "Expected the lengths of the columns of voxelToPatient for ", name, ".spacing but received ",
            grid.spacing[axis], " where column ", axis, " has length ", length);
    const double origin = grid.voxel_to_patient[4 * axis + 3];
    require(near(origin), "Expected an origin within ", kFarthest, " mm for ", name,
            ".voxelToPatient but received ", origin);
  }
  require(voxels <= kMostVoxels, "Expected at most ", kMostVoxels, " voxels for ", name,
          ".shape but received ", voxels);
}

void check_substance(double t2, double adc, double proton_density, const char* name) {
  require(std::isfinite(t2) && t2 > 0, "Expected a T2 > 0 ms for ", name, " but received ", t2);
  require(std::isfinite(adc) && adc >= 0, "Expected an ADC >= 0 for ", name, " but received ", adc);
  require(std::isfinite(proton_density) && proton_density >= 0, "Expected a proton density >= 0 for ", name,
          " but received ", proton_density);
}

void check(const Scene& scene) {
  check_grid(scene.t2w_grid, "t2w.grid");
  check_grid(scene.diffusion_grid, "diffusion.grid");
  const Background& background = scene.background;
  check_substance(background.t2_milliseconds, background.adc, background.proton_density, "background");
  for (const Tissue& tissue : scene.tissues) {
    check_substance(tissue.t2_milliseconds, tissue.adc, tissue.proton_density, "a tissue");
    require(std::isfinite(tissue.rotation), "Expected a finite rotation for a tissue but received ",
            tissue.rotation);
    for (int axis = 0; axis < 3; ++axis) {
      require(near(tissue.centre[axis]), "Expected a centre within ", kFarthest,
              " mm for a tissue but received ", tissue.centre[axis]);
      require(near(tissue.radii[axis]) && tissue.radii[axis] > 0,
              "Expected radii > 0 mm for a tissue but received ", tissue.radii[axis]);
    }
    require(tissue.texture >= 0 && tissue.texture < 1,
            "Expected a texture in [0, 1) for a tissue but received ", tissue.texture);
    require(tissue.texture_size >= 0.01 && std::isfinite(tissue.texture_size),
            "Expected a texture size >= 0.01 mm for a tissue but received ", tissue.texture_size);
    require(tissue.roundness >= 1 && tissue.roundness <= 100,
            "Expected a roundness from 1 to 100 for a tissue but received ", tissue.roundness);
    require(tissue.fat >= 0 && tissue.fat <= 1,
            "Expected a share of fat from 0 to 1 for a tissue but received ", tissue.fat);
    require(tissue.label >= 0 && tissue.label < 1 << 24, "Expected a label >= 0 for a tissue but received ",
            tissue.label);
  }
  require(scene.t2w_echo_milliseconds >= 0 && scene.diffusion_echo_milliseconds >= 0 &&
              std::isfinite(scene.t2w_echo_milliseconds) && std::isfinite(scene.diffusion_echo_milliseconds),
          "Expected echo times >= 0 ms");
  require(scene.high_b > kLowB && std::isfinite(scene.high_b), "Expected a b value above ", kLowB,
          " s/mm² for diffusion.highB but received ", scene.high_b);
  require(scene.noise >= 0 && scene.noise <= 10, "Expected a noise from 0 to 10 but received ", scene.noise);
  require(scene.bias_field >= 0 && scene.bias_field < 1, "Expected a bias field in [0, 1) but received ",
          scene.bias_field);
}

// --- Anatomy --------------------------------------------------------------------------------------------------------

// A tissue with what does not change from voxel to voxel.
struct Shape {
  const Tissue* tissue;
  uint64_t stream;
  double cosine, sine;
  Vector half_box;  // of the box that surely holds the shape, in the patient's axes
  double steepest;  // the largest gradient of f, for powers from 2 on

  Shape(const Tissue& tissue, uint64_t stream) : tissue(&tissue), stream(stream) {
    const double angle = tissue.rotation * std::numbers::pi / 180;
    cosine = std::cos(angle);
    sine = std::sin(angle);
    const Vector& r = tissue.radii;
    steepest = 1 / std::min({r[0], r[1], r[2]});
    half_box = {std::abs(cosine) * r[0] + std::abs(sine) * r[1],
                std::abs(sine) * r[0] + std::abs(cosine) * r[1], r[2]};
  }
};

// The share of a voxel at `p` that lies in the shape. The surface is taken as a plane across the voxel: with
// f(p) = (|x/a|^p + |y/b|^p + |z/c|^p)^(1/p), f = 1 on the surface, and a voxel spans about |grad f . column| of f along
// each of its axes. `reach` is the length of a voxel's diagonal: a voxel whose span cannot meet the surface is settled
// without computing powers, as max |u| <= f <= |u| for powers from 2 on.
double coverage(const Shape& shape, const Grid& grid, const Vector& margin, double reach, const Vector& p) {
  const Tissue& tissue = *shape.tissue;
  const Vector d{p[0] - tissue.centre[0], p[1] - tissue.centre[1], p[2] - tissue.centre[2]};
  for (int axis = 0; axis < 3; ++axis) {
    if (std::abs(d[axis]) > shape.half_box[axis] + margin[axis]) return 0;
  }
  const Vector local{shape.cosine * d[0] + shape.sine * d[1], shape.cosine * d[1] - shape.sine * d[0], d[2]};
  const double power = tissue.roundness;
  Vector u;
  for (int axis = 0; axis < 3; ++axis) u[axis] = std::abs(local[axis]) / tissue.radii[axis];
  if (power >= 2) {
    const double half_span = 0.5 * reach * shape.steepest;
    if (std::max({u[0], u[1], u[2]}) > 1 + half_span) return 0;
    if (half_span < 1 && u[0] * u[0] + u[1] * u[1] + u[2] * u[2] < (1 - half_span) * (1 - half_span))
      return 1;
  }
  double sum = 0;
  Vector slope;  // of f, up to the factor f^(1 - power)
  for (int axis = 0; axis < 3; ++axis) {
    const double lower = power == 2 ? u[axis] : std::pow(u[axis], power - 1);
    sum += lower * u[axis];
    slope[axis] = std::copysign(lower, local[axis]) / tissue.radii[axis];
  }
  if (sum <= 0) return 1;
  const double f = power == 2 ? std::sqrt(sum) : std::pow(sum, 1 / power);
  const double factor = power == 2 ? 1 / f : std::pow(f, 1 - power);
  const Vector gradient{factor * (shape.cosine * slope[0] - shape.sine * slope[1]),
                        factor * (shape.sine * slope[0] + shape.cosine * slope[1]), factor * slope[2]};
  double span = 0;
  for (int axis = 0; axis < 3; ++axis) {
    double change = 0;
    for (size_t row = 0; row < 3; ++row) change += gradient[row] * grid.voxel_to_patient[4 * row + axis];
    span += change * change;
  }
  return std::clamp(0.5 + (1 - f) / std::sqrt(span), 0.0, 1.0);
}

// A tissue in a voxel, and the share of the voxel that it covers.
struct Layer {
  const Shape* shape;
  double share;
};

// Whether any voxel of the line from `first` to `last` can touch the shape.
bool may_touch(const Shape& shape, const Vector& first, const Vector& last, const Vector& margin) {
  for (int axis = 0; axis < 3; ++axis) {
    const double low = std::min(first[axis], last[axis]), high = std::max(first[axis], last[axis]);
    const double reach = shape.half_box[axis] + margin[axis];
    if (shape.tissue->centre[axis] + reach < low || shape.tissue->centre[axis] - reach > high) return false;
  }
  return true;
}

// Calls `paint(index, position, layers)` for every voxel, with the tissues in it from the topmost down to the first
// that covers all of it: what lies below that is never seen, and never computed.
template <typename Paint>
void for_each_voxel(const Grid& grid, const std::vector<Shape>& shapes, const Paint& paint) {
  const std::array<double, 12>& m = grid.voxel_to_patient;
  const int64_t height = grid.shape[1], width = grid.shape[2];
  Vector margin;  // how far a voxel reaches from its centre, in the patient's axes
  for (size_t row = 0; row < 3; ++row) {
    margin[row] = std::abs(m[4 * row]) + std::abs(m[4 * row + 1]) + std::abs(m[4 * row + 2]);
  }
  double reach = 0;
  for (const double entry : {m[0], m[1], m[2], m[4], m[5], m[6], m[8], m[9], m[10]}) reach += entry * entry;
  reach = std::sqrt(reach);
  const auto position = [&m](double k, double j, double i) {
    Vector p;
    for (size_t row = 0; row < 3; ++row)
      p[row] = m[4 * row] * k + m[4 * row + 1] * j + m[4 * row + 2] * i + m[4 * row + 3];
    return p;
  };
  at::parallel_for(0, grid.shape[0] * height, 8, [&](int64_t begin, int64_t end) {
    std::vector<const Shape*> near_line;
    std::vector<Layer> layers;
    for (int64_t line = begin; line < end; ++line) {
      const int64_t slice = line / height;
      const auto k = static_cast<double>(slice), j = static_cast<double>(line % height);
      const Vector first = position(k, j, 0), last = position(k, j, static_cast<double>(width - 1));
      near_line.clear();
      for (auto shape = shapes.rbegin(); shape != shapes.rend(); ++shape) {
        if (may_touch(*shape, first, last, margin)) near_line.push_back(&*shape);
      }
      for (int64_t i = 0; i < width; ++i) {
        const Vector p = position(k, j, static_cast<double>(i));
        layers.clear();
        for (const Shape* shape : near_line) {
          const double share = coverage(*shape, grid, margin, reach, p);
          if (share > 0) layers.push_back({shape, share});
          if (share >= 1) break;
        }
        paint(line * width + i, p, layers);
      }
    }
  });
}

double spin_echo(double proton_density, double echo, double t2) {
  return proton_density * std::exp(-echo / t2);
}

double diffusion_weight(double b, double adc) { return std::exp(-b * adc * 1e-6); }

// The strongest signal without diffusion weighting that any tissue, or the background, gives at an echo time, fat
// suppressed or not: what the noise is measured by.
double brightest(const Scene& scene, double echo, bool fat_suppressed) {
  double most = spin_echo(scene.background.proton_density, echo, scene.background.t2_milliseconds);
  for (const Tissue& tissue : scene.tissues) {
    const double visible = fat_suppressed ? 1 - tissue.fat : 1;
    most = std::max(most, visible * spin_echo(tissue.proton_density, echo, tissue.t2_milliseconds));
  }
  return most;
}

double textured_t2(const Tissue& tissue, const Shape& shape, const Vector& p, uint64_t seed) {
  if (tissue.texture == 0) return tissue.t2_milliseconds;
  return tissue.t2_milliseconds * (1 + tissue.texture * texture(p, tissue.texture_size, seed, shape.stream));
}

// A coil's sensitivity: a few waves longer than the field of view, relative to 1.
class BiasField {
 public:
  BiasField(double amplitude, uint64_t seed) : amplitude_(amplitude) {
    for (int wave = 0; wave < kWaves; ++wave) {
      for (int axis = 0; axis < 3; ++axis) {
        const double length = 180 + 120 * unit(hash(seed, kBiasField, 8 * wave + axis));  // mm
        frequency_[wave][axis] = 2 * std::numbers::pi / length;
      }
      phase_[wave] = 2 * std::numbers::pi * unit(hash(seed, kBiasField, 8 * wave + 3));
    }
  }

  double at(const Vector& p) const {
    double sum = 0;
    for (int wave = 0; wave < kWaves; ++wave) {
      const Vector& f = frequency_[wave];
      const double sign = wave % 2 ? -1 : 1;
      sum += std::cos(f[0] * p[0] + sign * f[1] * p[1] + f[2] * p[2] + phase_[wave]);
    }
    return 1 + amplitude_ * sum / kWaves;
  }

 private:
  static constexpr int kWaves = 2;
  double amplitude_;
  std::array<Vector, kWaves> frequency_;
  std::array<double, kWaves> phase_;
};

at::Tensor new_volume(const Grid& grid) {
  return at::empty({grid.shape[0], grid.shape[1], grid.shape[2]}, at::kFloat);
}

void render_t2w(const Scene& scene, const std::vector<Shape>& shapes, Rendering& rendering) {
  const double echo = scene.t2w_echo_milliseconds, sigma = scene.noise * brightest(scene, echo, false);
  const BiasField bias(scene.bias_field, scene.seed);
  const double empty = spin_echo(scene.background.proton_density, echo, scene.background.t2_milliseconds);
  rendering.t2w = new_volume(scene.t2w_grid);
  rendering.labels = new_volume(scene.t2w_grid);
  float* t2w = rendering.t2w.data_ptr<float>();
  float* labels = rendering.labels.data_ptr<float>();
  for_each_voxel(
      scene.t2w_grid, shapes, [&](int64_t index, const Vector& p, const std::vector<Layer>& layers) {
        double signal = empty;
        int64_t label = 0;
        for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
          const Tissue& tissue = *layer->shape->tissue;
          const double t2 = textured_t2(tissue, *layer->shape, p, scene.seed);
          signal += layer->share * (spin_echo(tissue.proton_density, echo, t2) - signal);
          if (layer->share >= 0.5) label = tissue.label;
        }
        t2w[index] = static_cast<float>(rician(signal * bias.at(p), sigma, scene.seed, kT2wNoise, index));
        labels[index] = static_cast<float>(label);
      });
}

void render_diffusion(const Scene& scene, const std::vector<Shape>& shapes, Rendering& rendering) {
  const double echo = scene.diffusion_echo_milliseconds, sigma = scene.noise * brightest(scene, echo, true);
  const Background& background = scene.background;
  const double empty = spin_echo(background.proton_density, echo, background.t2_milliseconds);
  rendering.adc = new_volume(scene.diffusion_grid);
  rendering.hbv = new_volume(scene.diffusion_grid);
  float* adc = rendering.adc.data_ptr<float>();
  float* hbv = rendering.hbv.data_ptr<float>();
  for_each_voxel(
      scene.diffusion_grid, shapes, [&](int64_t index, const Vector& p, const std::vector<Layer>& layers) {
        double low_signal = empty * diffusion_weight(kLowB, background.adc);
        double high_signal = empty * diffusion_weight(scene.high_b, background.adc);
        for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
          const Tissue& tissue = *layer->shape->tissue;
          const double t2 = textured_t2(tissue, *layer->shape, p, scene.seed);
          const double signal = (1 - tissue.fat) * spin_echo(tissue.proton_density, echo, t2);
          low_signal += layer->share * (signal * diffusion_weight(kLowB, tissue.adc) - low_signal);
          high_signal += layer->share * (signal * diffusion_weight(scene.high_b, tissue.adc) - high_signal);
        }
        const double low = rician(low_signal, sigma, scene.seed, kLowBNoise, index);
        const double high = rician(high_signal, sigma, scene.seed, kHighBNoise, index);
        const bool measurable = low > kMaskBelow * sigma && high > 0;
        const double ratio = measurable ? std::log(low / high) / (scene.high_b - kLowB) * 1e6 : 0;
        adc[index] = static_cast<float>(std::clamp(ratio, 0.0, kLargestAdc));
        hbv[index] = static_cast<float>(high);
      });
}

}  // namespace

Rendering render_phantom(const Scene& scene) {
  check(scene);
  std::vector<Shape> shapes;
  shapes.reserve(scene.tissues.size());
  for (size_t index = 0; index < scene.tissues.size(); ++index)
    shapes.emplace_back(scene.tissues[index], kTexture + index);
  Rendering rendering;
  render_t2w(scene, shapes, rendering);
  render_diffusion(scene, shapes, rendering);
  return rendering;
}

}  // namespace transfer_limits::volumes
