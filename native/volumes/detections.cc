#include "volumes/detections.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "error.h"
#include "volumes/masks.h"
#include "volumes/volume.h"

namespace transfer_limits::volumes {
namespace {

// Below it nothing more is looked for where each candidate has a threshold of its own.
constexpr float kLeastProbability = 0.01f;

// The voxels of a volume and which of them are neighbours.
class VoxelGrid {
 public:
  explicit VoxelGrid(const at::Tensor& volume) : size_{volume.size(0), volume.size(1), volume.size(2)} {}

  int64_t voxels() const { return size_[0] * size_[1] * size_[2]; }

  // Calls `look` with each voxel that shares a face, an edge or a corner with one, and with this itself.
  template <typename Look>
  void around(int64_t voxel, const Look& look) const {
    const int64_t i = voxel % size_[2], j = voxel / size_[2] % size_[1], k = voxel / (size_[1] * size_[2]);
    for (int64_t z = std::max<int64_t>(k - 1, 0); z <= std::min(k + 1, size_[0] - 1); ++z) {
      for (int64_t y = std::max<int64_t>(j - 1, 0); y <= std::min(j + 1, size_[1] - 1); ++y) {
        for (int64_t x = std::max<int64_t>(i - 1, 0); x <= std::min(i + 1, size_[2] - 1); ++x)
          look((z * size_[1] + y) * size_[2] + x);
      }
    }
  }

 private:
  std::array<int64_t, 3> size_;
};

// The connected parts of the voxels of which `is_inside` holds, each by its voxels, in the order of their first ones.
template <typename Inside>
std::vector<std::vector<int64_t>> connected_parts(const VoxelGrid& grid, const Inside& is_inside) {
  std::vector<std::vector<int64_t>> parts;
  std::vector<bool> seen(grid.voxels());
  for (int64_t start = 0; start < grid.voxels(); ++start) {
    if (seen[start] || !is_inside(start)) continue;
    std::vector<int64_t> part{start};
    seen[start] = true;
    for (size_t next = 0; next < part.size(); ++next) {
      const int64_t voxel = part[next];
      grid.around(voxel, [&](int64_t other) {
        if (seen[other] || !is_inside(other)) return;
        seen[other] = true;
        part.push_back(other);
      });
    }
    parts.push_back(std::move(part));
  }
  return parts;
}

float highest_of(const std::vector<float>& values, const std::vector<int64_t>& voxels) {
  float highest = 0;
  for (const int64_t voxel : voxels) highest = std::max(highest, values[voxel]);
  return highest;
}

// What is known of candidates while they are looked for.
struct Search {
  const VoxelGrid& grid;
  const CandidateOptions& options;
  std::vector<float> values;   // what is left of the map
  std::vector<int64_t> owner;  // the candidate of each voxel, -1 of none
  std::vector<Candidate> found;

  // The parts from a threshold on that are large enough.
  std::vector<std::vector<int64_t>> parts_from(float threshold) const {
    auto parts =
        connected_parts(grid, [&](int64_t voxel) { return values[voxel] >= threshold && values[voxel] > 0; });
    std::erase_if(parts, [this](const auto& part) {
      return static_cast<int64_t>(part.size()) < options.fewest_voxels;
    });
    return parts;
  }

  void keep(const std::vector<int64_t>& part, float confidence) {
    for (const int64_t voxel : part) owner[voxel] = static_cast<int64_t>(found.size());
    found.push_back({confidence, static_cast<int64_t>(part.size())});
  }

  bool touches_another(const std::vector<int64_t>& part) const {
    bool touches = false;
    for (const int64_t voxel : part)
      grid.around(voxel, [&](int64_t other) { touches = touches || owner[other] >= 0; });
    return touches;
  }

  void look_at_once(float threshold) {
    for (const auto& part : parts_from(threshold)) keep(part, highest_of(values, part));
  }

  void look_in_turn() {
    while (static_cast<int64_t>(found.size()) < options.most) {
      const float highest = *std::max_element(values.begin(), values.end());
      if (highest < kLeastProbability) return;
      const float threshold = highest / static_cast<float>(options.divisor);
      const auto parts = parts_from(threshold);
      if (parts.empty()) {  // small ones alone
        for (float& value : values) value = value > threshold ? 0 : value;
        continue;
      }
      const auto best =
          std::max_element(parts.begin(), parts.end(), [this](const auto& one, const auto& other) {
            return highest_of(values, one) < highest_of(values, other);
          });
      if (!touches_another(*best)) keep(*best, highest_of(values, *best));
      for (const int64_t voxel : *best) values[voxel] = 0;
    }
  }
};

void require_options(const CandidateOptions& options) {
  require(options.threshold > 0 && options.threshold <= 1,
          "Expected a threshold above 0, at most 1, but received ", options.threshold);
  require(options.divisor > 1, "Expected a divisor above 1 but received ", options.divisor);
  require(options.fewest_voxels >= 1, "Expected at least 1 for fewestVoxels but received ",
          options.fewest_voxels);
  require(options.most >= 1, "Expected at least 1 for most but received ", options.most);
}

}  // namespace

Detections detect(const at::Tensor& probabilities, const at::Tensor& truth, const CandidateOptions& options) {
  const at::Tensor map = require_volume(probabilities, "probabilities"),
                   mask = require_volume(truth, "truth");
  require(map.sizes() == mask.sizes(), "Expected probabilities and truth of one shape but received ",
          map.sizes(), " and ", mask.sizes());
  require_options(options);
  const float* values = map.const_data_ptr<float>();
  const VoxelGrid grid(map);
  const bool are_probabilities =
      std::all_of(values, values + map.numel(), [](float value) { return value >= 0 && value <= 1; });
  require(are_probabilities, "Expected probabilities in [0, 1] but received others");

  Search search{grid, options, {values, values + map.numel()}, std::vector<int64_t>(map.numel(), -1), {}};
  if (options.kind == CandidateOptions::Threshold::kOfCandidates) {
    search.look_in_turn();
  } else if (options.kind == CandidateOptions::Threshold::kOfMap) {
    search.look_at_once(*std::max_element(values, values + map.numel()) /
                        static_cast<float>(options.divisor));
  } else {
    search.look_at_once(static_cast<float>(options.threshold));
  }

  Detections found{std::move(search.found), {}, {}, at::zeros_like(map)};
  float* confidences = found.map.data_ptr<float>();
  for (int64_t voxel = 0; voxel < map.numel(); ++voxel) {
    const int64_t candidate = search.owner[voxel];
    if (candidate >= 0) confidences[voxel] = static_cast<float>(found.candidates[candidate].confidence);
  }
  const float* wanted = mask.const_data_ptr<float>();
  for (const auto& lesion :
       connected_parts(grid, [&](int64_t voxel) { return is_foreground(wanted[voxel]); })) {
    std::map<int64_t, int64_t> common;
    for (const int64_t voxel : lesion)
      if (search.owner[voxel] >= 0) ++common[search.owner[voxel]];
    for (const auto& [candidate, voxels] : common)
      found.overlaps.push_back({candidate, static_cast<int64_t>(found.lesions.size()), voxels});
    found.lesions.push_back(static_cast<int64_t>(lesion.size()));
  }
  return found;
}

}  // namespace transfer_limits::volumes
