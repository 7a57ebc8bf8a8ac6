#include "bridge/arguments.h"
#include "bridge/functions.h"
#include "bridge/handles.h"
#include "bridge/promise.h"
#include "transfer.h"
#include "volumes/crop_slices.h"
#include "volumes/detections.h"
#include "volumes/distance_transform.h"
#include "volumes/distortion.h"
#include "volumes/masks.h"
#include "volumes/normalise.h"
#include "volumes/phantom.h"
#include "volumes/resample.h"
#include "volumes/smooth.h"
#include "volumes/statistics.h"
#include "volumes/stored_volume.h"
#include "volumes/surface_distances.h"
#include "volumes/warp.h"

namespace transfer_limits::functions {
namespace {

volumes::Interpolation read_interpolation(const Napi::Value& value) {
  return word<volumes::Interpolation>(value, "interpolation",
                                      {{"linear", volumes::Interpolation::kLinear},
                                       {"nearest", volumes::Interpolation::kNearest},
                                       {"label-linear", volumes::Interpolation::kLabelLinear}});
}

const char* mask_kind(volumes::MaskKind kind) {
  switch (kind) {
    case volumes::MaskKind::kLabels:
      return "labels";
    case volumes::MaskKind::kGraded:
      return "graded";
    case volumes::MaskKind::kScaled:
      return "scaled";
    case volumes::MaskKind::kManyLabels:
      return "many-labels";
    case volumes::MaskKind::kNoLabels:
      return "no-labels";
  }
  return "no-labels";
}

enum class Normalisation : uint8_t { kPercentiles, kRange, kZScore };

volumes::SliceCrop read_crop(const Napi::Value& value) {
  const Napi::Object object = transfer_limits::object(value, "crop");
  const auto whole = [&object](const char* name) {
    return integer(object.Get(name), std::string("crop.") + name);
  };
  return {whole("volume"),
          whole("slice"),
          whole("top"),
          whole("left"),
          whole("height"),
          whole("width"),
          boolean_or(object, "flipped", false),
          number_or(object, "gain", 1),
          number_or(object, "offset", 0)};
}

volumes::Grid read_grid(const Napi::Value& value, const std::string& name) {
  const Napi::Object object = transfer_limits::object(value, name);
  return {fixed_integers<3>(object.Get("shape"), name + ".shape"),
          fixed_numbers<12>(object.Get("voxelToPatient"), name + ".voxelToPatient"),
          fixed_numbers<3>(object.Get("spacing"), name + ".spacing")};
}

volumes::Tissue read_tissue(const Napi::Value& value) {
  const Napi::Object object = transfer_limits::object(value, "tissue");
  volumes::Tissue tissue;
  tissue.label = integer(object.Get("label"), "tissue.label");
  tissue.centre = fixed_numbers<3>(object.Get("centre"), "tissue.centre");
  tissue.radii = fixed_numbers<3>(object.Get("radii"), "tissue.radii");
  tissue.rotation = number(object.Get("rotation"), "tissue.rotation");
  tissue.t2_milliseconds = number(object.Get("t2Milliseconds"), "tissue.t2Milliseconds");
  tissue.adc = number(object.Get("adc"), "tissue.adc");
  tissue.proton_density = number(object.Get("protonDensity"), "tissue.protonDensity");
  tissue.texture = number(object.Get("texture"), "tissue.texture");
  tissue.texture_size = number(object.Get("textureSize"), "tissue.textureSize");
  tissue.fat = number_or(object, "fat", tissue.fat);
  tissue.roundness = number_or(object, "roundness", tissue.roundness);
  return tissue;
}

volumes::Scene read_scene(const Napi::Value& value) {
  const Napi::Object object = transfer_limits::object(value, "scene");
  volumes::Scene scene;
  const Napi::Object background = transfer_limits::object(object.Get("background"), "background");
  scene.background = {number(background.Get("t2Milliseconds"), "background.t2Milliseconds"),
                      number(background.Get("adc"), "background.adc"),
                      number(background.Get("protonDensity"), "background.protonDensity")};
  const auto tissues = transfer_limits::object(object.Get("tissues"), "tissues").As<Napi::Array>();
  for (uint32_t index = 0; index < tissues.Length(); ++index)
    scene.tissues.push_back(read_tissue(tissues[index]));
  const Napi::Object t2w = transfer_limits::object(object.Get("t2w"), "t2w");
  scene.t2w_grid = read_grid(t2w.Get("grid"), "t2w.grid");
  scene.t2w_echo_milliseconds = number(t2w.Get("echoMilliseconds"), "t2w.echoMilliseconds");
  const Napi::Object diffusion = transfer_limits::object(object.Get("diffusion"), "diffusion");
  scene.diffusion_grid = read_grid(diffusion.Get("grid"), "diffusion.grid");
  scene.diffusion_echo_milliseconds = number(diffusion.Get("echoMilliseconds"), "diffusion.echoMilliseconds");
  scene.high_b = number(diffusion.Get("highB"), "diffusion.highB");
  scene.noise = number(object.Get("noise"), "noise");
  scene.bias_field = number(object.Get("biasField"), "biasField");
  scene.seed = uint64_t(integer(object.Get("seed"), "seed"));
  return scene;
}

// Decodes on a thread of Node's pool rather than on the executor: several files at once, and beside a network's work.
class Decoding : public Napi::AsyncWorker {
 public:
  Decoding(Napi::Env env, std::string path, int64_t file_bytes, bool gzip, volumes::StoredVolume stored)
      : Napi::AsyncWorker(env),
        deferred_(env),
        path_(std::move(path)),
        file_bytes_(file_bytes),
        gzip_(gzip),
        stored_(std::move(stored)) {}

  Napi::Value promise() const { return deferred_.Promise(); }

  void Execute() override {
    try {
      decoded_ = volumes::decode(path_, file_bytes_, gzip_, stored_);
    } catch (...) {
      failure_ = current_failure();
      SetError(failure_->message);
    }
  }

  void OnOK() override {
    if (!decoded_) return deferred_.Resolve(Env().Null());
    const Napi::Object result = Napi::Object::New(Env());
    result.Set("data", to_typed_array(Env(), decoded_->voxels));
    result.Set("notFinite", double(decoded_->not_finite));
    deferred_.Resolve(result);
  }

  void OnError(const Napi::Error&) override { deferred_.Reject(to_javascript(Env(), *failure_).Value()); }

 private:
  Napi::Promise::Deferred deferred_;
  std::string path_;
  int64_t file_bytes_;
  bool gzip_;
  volumes::StoredVolume stored_;
  std::optional<volumes::DecodedVolume> decoded_;
  std::optional<Failure> failure_;
};

volumes::DistortionOptions read_distortion(const Napi::Value& value) {
  const Napi::Object object = transfer_limits::object(value, "options");
  volumes::DistortionOptions options;
  options.spacing = fixed_numbers<3>(object.Get("spacing"), "options.spacing");
  options.axis = integer_or(object, "axis", options.axis);
  options.maximum_displacement = number(object.Get("maximumDisplacement"), "options.maximumDisplacement");
  options.decay = number(object.Get("decay"), "options.decay");
  options.least_jacobian = number_or(object, "leastJacobian", options.least_jacobian);
  return options;
}

}  // namespace

Napi::Value volume_resample(const Napi::CallbackInfo& info) {
  const at::Tensor volume = TensorHandle::get(info[0], "volume");
  const auto map = fixed_numbers<16>(info[1], "outputToInput");
  const auto shape = fixed_integers<3>(info[2], "shape");
  const auto interpolation = read_interpolation(info[3]);
  const double outside = number(info[4], "outside");
  return promise(
      info.Env(), volume.device(),
      [=] { return volumes::resample(volume, map, shape, interpolation, outside); }, &TensorHandle::create);
}

Napi::Value volume_smooth(const Napi::CallbackInfo& info) {
  const at::Tensor volume = TensorHandle::get(info[0], "volume");
  const auto sigmas = fixed_numbers<3>(info[1], "sigmas");
  return promise(
      info.Env(), volume.device(), [=] { return volumes::smooth(volume, sigmas); }, &TensorHandle::create);
}

Napi::Value volume_crop_slices(const Napi::CallbackInfo& info) {
  const at::Tensor stack = TensorHandle::get(info[0], "volumes");
  const auto list = transfer_limits::object(info[1], "crops").As<Napi::Array>();
  std::vector<volumes::SliceCrop> crops;
  crops.reserve(list.Length());
  for (uint32_t index = 0; index < list.Length(); ++index) crops.push_back(read_crop(list[index]));
  const Napi::Object object = transfer_limits::object(info[2], "options");
  volumes::CropOptions options;
  options.size = fixed_integers<2>(object.Get("size"), "options.size");
  options.adjacent = integer_or(object, "adjacent", options.adjacent);
  options.mask = boolean_or(object, "mask", options.mask);
  return promise(
      info.Env(), stack.device(),
      [=] {
        const torch::NoGradGuard no_grad;
        return volumes::crop_slices(stack, crops, options);
      },
      &TensorHandle::create);
}

Napi::Value volume_normalise(const Napi::CallbackInfo& info) {
  const at::Tensor volume = TensorHandle::get(info[0], "volume");
  const Napi::Object method = transfer_limits::object(info[1], "method");
  const auto kind = word<Normalisation>(method.Get("kind"), "method.kind",
                                        {{"percentiles", Normalisation::kPercentiles},
                                         {"range", Normalisation::kRange},
                                         {"z-score", Normalisation::kZScore}});
  if (kind == Normalisation::kZScore) {
    return promise(
        info.Env(), volume.device(), [volume] { return volumes::normalise_z_score(volume); },
        &TensorHandle::create);
  }
  const double low = number(method.Get("low"), "method.low");
  const double high = number(method.Get("high"), "method.high");
  if (kind == Normalisation::kRange) {
    return promise(
        info.Env(), volume.device(), [=] { return volumes::normalise_range(volume, low, high); },
        &TensorHandle::create);
  }
  return promise(
      info.Env(), volume.device(), [=] { return volumes::normalise_percentiles(volume, low, high); },
      &TensorHandle::create);
}

Napi::Value volume_decode(const Napi::CallbackInfo& info) {
  const Napi::Object file = object(info[0], "file");
  const auto whole = [&file](const char* name) {
    return integer(file.Get(name), std::string("file.") + name);
  };
  const volumes::StoredVolume stored{text(file.Get("type"), "file.type"), whole("firstByte"), whole("voxels"),
                                     number(file.Get("slope"), "file.slope"),
                                     number(file.Get("intercept"), "file.intercept")};
  require(stored.first_byte >= 0 && stored.voxels >= 1 && whole("bytes") >= 0,
          "Expected sizes that are not negative for file");
  auto* decoding = new Decoding(info.Env(), text(file.Get("path"), "file.path"), whole("bytes"),
                                boolean_or(file, "gzip", false), stored);
  decoding->Queue();
  return decoding->promise();
}

Napi::Value volume_statistics(const Napi::CallbackInfo& info) {
  const at::Tensor volume = TensorHandle::get(info[0], "volume");
  return promise(
      info.Env(), volume.device(), [volume] { return volumes::statistics(volume); },
      [](Napi::Env env, volumes::Statistics statistics) {
        auto result = Napi::Object::New(env);
        result.Set("minimum", statistics.minimum);
        result.Set("maximum", statistics.maximum);
        result.Set("mean", statistics.mean);
        result.Set("standardDeviation", statistics.standard_deviation);
        result.Set("notFinite", double(statistics.not_finite));
        return Napi::Value(result);
      });
}

Napi::Value volume_bounds(const Napi::CallbackInfo& info) {
  const at::Tensor mask = TensorHandle::get(info[0], "mask");
  return promise(
      info.Env(), mask.device(), [mask] { return volumes::bounds(mask); },
      [](Napi::Env env, std::optional<volumes::Bounds> bounds) {
        if (!bounds) return Napi::Value(env.Null());
        auto result = Napi::Object::New(env);
        result.Set("low", to_array(env, std::vector<int64_t>(bounds->low.begin(), bounds->low.end())));
        result.Set("high", to_array(env, std::vector<int64_t>(bounds->high.begin(), bounds->high.end())));
        return Napi::Value(result);
      });
}

Napi::Value volume_check_mask(const Napi::CallbackInfo& info) {
  const at::Tensor mask = TensorHandle::get(info[0], "mask");
  const bool binary = info[1].ToBoolean();
  return promise(
      info.Env(), mask.device(), [=] { return volumes::check_mask(mask, binary); },
      [](Napi::Env env, const volumes::CheckedMask& checked) {
        auto result = Napi::Object::New(env);
        result.Set("kind", mask_kind(checked.kind));
        result.Set("mask", checked.mask.defined() ? TensorHandle::create(env, checked.mask) : env.Null());
        result.Set("values",
                   to_array(env, std::vector<double>(checked.values.begin(), checked.values.end())));
        return Napi::Value(result);
      });
}

Napi::Value volume_count_labels(const Napi::CallbackInfo& info) {
  const at::Tensor mask = TensorHandle::get(info[0], "mask");
  return promise(
      info.Env(), mask.device(), [mask] { return volumes::count_labels(mask); },
      [](Napi::Env env, const std::map<float, int64_t>& counts) {
        auto result = Napi::Array::New(env, counts.size());
        uint32_t index = 0;
        for (const auto& [label, voxels] : counts) {
          auto entry = Napi::Object::New(env);
          entry.Set("label", double(label));
          entry.Set("voxels", double(voxels));
          result.Set(index++, entry);
        }
        return Napi::Value(result);
      });
}

Napi::Value volume_surface_distances(const Napi::CallbackInfo& info) {
  const at::Tensor found = TensorHandle::get(info[0], "found"), truth = TensorHandle::get(info[1], "truth");
  const Napi::Object object = transfer_limits::object(info[2], "options");
  const double above = number(object.Get("above"), "options.above");
  const auto spacing = fixed_numbers<3>(object.Get("spacing"), "options.spacing");
  const double tolerance = number(object.Get("tolerance"), "options.tolerance");
  return promise(
      info.Env(), found.device(),
      [=] { return volumes::surface_distances(found.cpu(), above, truth.cpu(), spacing, tolerance); },
      [](Napi::Env env, const volumes::SurfaceDistances& distances) {
        auto result = Napi::Object::New(env);
        result.Set("surfaceDice", distances.surface_dice);
        result.Set("hausdorff95", distances.hausdorff95);
        return Napi::Value(result);
      });
}

Napi::Value volume_detect(const Napi::CallbackInfo& info) {
  using Threshold = volumes::CandidateOptions::Threshold;
  const at::Tensor map = TensorHandle::get(info[0], "map"), truth = TensorHandle::get(info[1], "truth");
  const Napi::Object object = transfer_limits::object(info[2], "options");
  volumes::CandidateOptions options;
  options.kind = word<Threshold>(object.Get("kind"), "options.kind",
                                 {{"fixed", Threshold::kFixed},
                                  {"of-map", Threshold::kOfMap},
                                  {"of-candidates", Threshold::kOfCandidates}});
  options.threshold = number_or(object, "threshold", options.threshold);
  options.divisor = number_or(object, "divisor", options.divisor);
  options.fewest_voxels = integer_or(object, "fewestVoxels", options.fewest_voxels);
  options.most = integer_or(object, "most", options.most);
  const bool are_logits = boolean_or(object, "logits", false);
  return promise(
      info.Env(), map.device(),
      [=] {
        const torch::NoGradGuard no_grad;
        return volumes::detect((are_logits ? map.sigmoid() : map).cpu(), truth.cpu(), options);
      },
      [](Napi::Env env, const volumes::Detections& found) {
        auto candidates = Napi::Array::New(env, found.candidates.size());
        for (size_t index = 0; index < found.candidates.size(); ++index) {
          auto entry = Napi::Object::New(env);
          entry.Set("confidence", found.candidates[index].confidence);
          entry.Set("voxels", double(found.candidates[index].voxels));
          candidates.Set(uint32_t(index), entry);
        }
        auto overlaps = Napi::Array::New(env, found.overlaps.size());
        for (size_t index = 0; index < found.overlaps.size(); ++index) {
          auto entry = Napi::Object::New(env);
          entry.Set("candidate", double(found.overlaps[index].candidate));
          entry.Set("lesion", double(found.overlaps[index].lesion));
          entry.Set("voxels", double(found.overlaps[index].voxels));
          overlaps.Set(uint32_t(index), entry);
        }
        auto result = Napi::Object::New(env);
        result.Set("candidates", candidates);
        result.Set("lesions", to_array(env, found.lesions));
        result.Set("overlaps", overlaps);
        result.Set("map", TensorHandle::create(env, found.map));
        return Napi::Value(result);
      });
}

Napi::Value volume_warp(const Napi::CallbackInfo& info) {
  const at::Tensor volume = TensorHandle::get(info[0], "volume"), field = TensorHandle::get(info[1], "field");
  return promise(
      info.Env(), volume.device(), [=] { return volumes::warp(volume, field); }, &TensorHandle::create);
}

Napi::Value volume_jacobian_minimum(const Napi::CallbackInfo& info) {
  const at::Tensor field = TensorHandle::get(info[0], "field");
  return promise(
      info.Env(), field.device(), [=] { return volumes::jacobian_minimum(field); },
      [](Napi::Env env, double minimum) { return Napi::Value(Napi::Number::New(env, minimum)); });
}

Napi::Value volume_distance_transform(const Napi::CallbackInfo& info) {
  const at::Tensor mask = TensorHandle::get(info[0], "mask");
  const auto spacing = fixed_numbers<3>(info[1], "spacing");
  return promise(
      info.Env(), mask.device(), [=] { return volumes::distance_transform(mask, spacing); },
      &TensorHandle::create);
}

Napi::Value volume_region_behind(const Napi::CallbackInfo& info) {
  const at::Tensor gland = TensorHandle::get(info[0], "gland");
  return promise(
      info.Env(), gland.device(), [=] { return volumes::region_behind(gland); }, &TensorHandle::create);
}

Napi::Value volume_distortion_field(const Napi::CallbackInfo& info) {
  const at::Tensor distances = TensorHandle::get(info[0], "distances"),
                   control = TensorHandle::get(info[1], "control");
  const volumes::DistortionOptions options = read_distortion(info[2]);
  return promise(
      info.Env(), distances.device(), [=] { return volumes::distortion_field(distances, control, options); },
      [](Napi::Env env, const volumes::Distortion& distortion) {
        auto result = Napi::Object::New(env);
        result.Set("field", TensorHandle::create(env, distortion.field));
        result.Set("scale", distortion.scale);
        result.Set("jacobianMinimum", distortion.jacobian_minimum);
        return Napi::Value(result);
      });
}

Napi::Value volume_distort(const Napi::CallbackInfo& info) {
  const at::Tensor volume = TensorHandle::get(info[0], "volume"),
                   distances = TensorHandle::get(info[1], "distances"),
                   control = TensorHandle::get(info[2], "control");
  const volumes::DistortionOptions options = read_distortion(info[3]);
  return promise(
      info.Env(), volume.device(),
      [=] { return volumes::distorted(volume, moved_to(distances, volume.device()), control, options); },
      &TensorHandle::create);
}

Napi::Value phantom_render(const Napi::CallbackInfo& info) {
  const volumes::Scene scene = read_scene(info[0]);
  return promise(
      info.Env(), torch::Device(torch::kCPU), [scene] { return volumes::render_phantom(scene); },
      [](Napi::Env env, const volumes::Rendering& rendering) {
        auto result = Napi::Object::New(env);
        result.Set("t2w", TensorHandle::create(env, rendering.t2w));
        result.Set("adc", TensorHandle::create(env, rendering.adc));
        result.Set("hbv", TensorHandle::create(env, rendering.hbv));
        result.Set("labels", TensorHandle::create(env, rendering.labels));
        return Napi::Value(result);
      });
}

}  // namespace transfer_limits::functions
