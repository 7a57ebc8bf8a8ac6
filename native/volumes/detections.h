// Lesions in a map of probabilities: which voxels make a candidate, and how candidates overlap with what is there.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor.h"

namespace transfer_limits::volumes {

// How candidates are taken out of a map of probabilities, as the PI-CAI challenge does it.
struct CandidateOptions {
  enum class Threshold : uint8_t {
    kFixed,         // voxels from `threshold` on
    kOfMap,         // from the highest probability of the map over `divisor` on
    kOfCandidates,  // of each candidate in turn, from its highest probability over `divisor` on
  };
  Threshold kind = Threshold::kOfMap;
  double threshold = 0.5;     // of kFixed, above 0
  double divisor = 2.5;       // above 1
  int64_t fewest_voxels = 1;  // candidates with fewer are dropped
  int64_t most = 5;           // of kOfCandidates: no more are looked for
};

struct Candidate {
  double confidence;  // its highest probability
  int64_t voxels;
};

// Of a pair that has any voxel in common.
struct CandidateOverlap {
  int64_t candidate, lesion;  // counted from 0
  int64_t voxels;             // in both
};

struct Detections {
  std::vector<Candidate> candidates;  // in the order in which they were found
  std::vector<int64_t> lesions;       // voxels of each
  std::vector<CandidateOverlap> overlaps;
  at::Tensor map;  // [D, H, W]: at each candidate's voxels its confidence, 0 elsewhere
};

// The candidates in `probabilities` [D, H, W], each in [0, 1], and the lesions of `truth` [D, H, W], which are the connected
// parts of its foreground. Voxels are connected that share a face, an edge or a corner.
//
// kOfCandidates: the connected part with the highest probability is the next candidate, and is taken away; one that touches an
// earlier candidate is taken away and is none. Parts that are too small to be candidates are taken away once nothing else is
// left above the threshold. It ends with `most` candidates, or where nothing reaches 0.01.
//
// Throws BAD_INPUT for shapes that differ, values outside [0, 1], and options out of their range.
Detections detect(const at::Tensor& probabilities, const at::Tensor& truth, const CandidateOptions& options);

}  // namespace transfer_limits::volumes
