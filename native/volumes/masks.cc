#include "volumes/masks.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "volumes/volume.h"

namespace transfer_limits::volumes {
namespace {

// How far a label may lie from its whole number: what arithmetic of other programs leaves of it.
constexpr double kLabelTolerance = 1e-3 + 1e-6;

// What is called 0 without a doubt. Above it and below 0.001 a value may be a label that was divided by 4095 or 65535.
constexpr double kDust = 1e-6;

// More labels than this are rather an image's grey levels; the sector map of PI-RADS has 41.
constexpr size_t kMostLabels = 64;

// Where several labels make one foreground, none is higher: 0 to 255 are then steps of grey, not labels.
constexpr double kHighestOfSeveral = 64;

// Float32 holds every whole number up to here.
constexpr double kHighestLabel = 1 << 24;

// A graded mask is 0 or 1 nearly everywhere but at its edge; an image that was scaled to [0, 1] is not.
constexpr double kLeastWholeShare = 0.5;

constexpr size_t kExamples = 5;

// What is known of a mask's values after one look at each.
struct Values {
  double minimum = 0, maximum = 0;
  int64_t whole = 0;           // voxels that hold a label
  int64_t dust = 0;            // those among them that are 0 only by the tolerance
  std::set<float> labels;      // distinct ones, up to one more than are allowed
  std::set<float> not_labels;  // distinct ones, up to kExamples
  std::set<float> found;       // distinct ones as they stand, dust included, up to kExamples
};

double whole_of(float value) { return std::round(static_cast<double>(value)) + 0.0; }  // never -0

bool is_label(float value) {
  const double whole = whole_of(value);
  return std::abs(value - whole) <= kLabelTolerance && whole >= 0 && whole <= kHighestLabel;
}

template <typename Set>
void keep(Set& set, float value, size_t most) {
  if (set.size() < most) set.insert(value);
}

Values look_at(const float* data, int64_t count) {
  Values values;
  values.minimum = values.maximum = data[0];
  for (int64_t begin = 0; begin < count;) {
    const float value = data[begin];
    int64_t end = begin + 1;
    while (end < count && data[end] == value) ++end;  // masks are runs of few values
    const int64_t run = end - begin;
    begin = end;
    values.minimum = std::min<double>(values.minimum, value);
    values.maximum = std::max<double>(values.maximum, value);
    keep(values.found, value, kExamples);
    if (!is_label(value)) {
      keep(values.not_labels, value, kExamples);
      continue;
    }
    values.whole += run;
    const double whole = whole_of(value);
    if (whole == 0 && std::abs(value) > kDust) values.dust += run;
    keep(values.labels, static_cast<float>(whole), kMostLabels + 1);
  }
  return values;
}

MaskKind kind_of(const Values& values, int64_t count) {
  const double highest_label = values.labels.empty() ? 0 : *values.labels.rbegin();
  const bool in_unit = values.minimum >= -kLabelTolerance && values.maximum <= 1 + kLabelTolerance;
  if (values.not_labels.empty()) {
    if (values.labels.size() > kMostLabels) return MaskKind::kManyLabels;
    return highest_label == 0 && values.dust > 0 ? MaskKind::kScaled : MaskKind::kLabels;
  }
  if (!in_unit) return MaskKind::kNoLabels;
  const bool one_foreground = highest_label == 0 && values.dust == 0 && values.not_labels.size() == 1;
  if (!is_foreground(static_cast<float>(values.maximum)) || one_foreground) return MaskKind::kScaled;
  const auto whole = static_cast<double>(values.whole);
  return whole >= kLeastWholeShare * static_cast<double>(count) ? MaskKind::kGraded : MaskKind::kNoLabels;
}

// The lowest and the highest value, and between them some that the verdict rests on.
std::vector<float> examples_of(const Values& values) {
  std::set<float> examples = values.not_labels.empty() ? values.found : values.not_labels;
  examples.insert({static_cast<float>(values.minimum), static_cast<float>(values.maximum)});
  return {examples.begin(), examples.end()};
}

template <typename Label>
at::Tensor mapped(const at::Tensor& input, const Label& label) {
  at::Tensor output = at::empty_like(input);
  const float* in = input.const_data_ptr<float>();
  float* out = output.data_ptr<float>();
  at::parallel_for(0, input.numel(), kBlock, [&](int64_t begin, int64_t end) {
    for (int64_t voxel = begin; voxel < end; ++voxel) out[voxel] = label(in[voxel]);
  });
  return output;
}

}  // namespace

CheckedMask check_mask(const at::Tensor& mask, bool binary) {
  const at::Tensor input = require_volume(mask, "mask");
  const Values values = look_at(input.const_data_ptr<float>(), input.numel());
  CheckedMask checked{kind_of(values, input.numel()), {}, examples_of(values)};
  if (binary && checked.kind == MaskKind::kLabels) {
    const auto foregrounds = values.labels.size() - values.labels.count(0);
    if (foregrounds > 1 && *values.labels.rbegin() > kHighestOfSeveral) checked.kind = MaskKind::kManyLabels;
  }
  if (checked.kind == MaskKind::kLabels) {
    checked.mask = binary ? mapped(input, [](float value) { return is_foreground(value) ? 1.0f : 0.0f; })
                          : mapped(input, [](float value) { return static_cast<float>(whole_of(value)); });
  } else if (checked.kind == MaskKind::kGraded && binary) {
    checked.mask = mapped(input, [](float value) { return is_foreground(value) ? 1.0f : 0.0f; });
  }
  return checked;
}

std::map<float, int64_t> count_labels(const at::Tensor& mask) {
  const at::Tensor input = require_volume(mask, "mask");
  const float* data = input.const_data_ptr<float>();
  const int64_t count = input.numel();
  std::map<float, int64_t> counts;
  for (int64_t begin = 0; begin < count;) {
    const float label = data[begin];
    int64_t end = begin + 1;
    while (end < count && data[end] == label) ++end;  // masks are runs of few values
    if (label != 0) counts[label] += end - begin;
    begin = end;
  }
  return counts;
}

}  // namespace transfer_limits::volumes
