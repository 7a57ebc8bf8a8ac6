#include <cmath>

#include "models/pyramid_encoder.h"
#include "models/slice_encoder.h"
#include "models/specification.h"

namespace transfer_limits {
namespace {

// How many outputs a head has a voxel; null where it doesn't answer voxel by voxel.
struct VoxelOutputs {
  int64_t* operator()(UperNetSpecification& head) const { return &head.outputs; }
  int64_t* operator()(UnetrSpecification& head) const { return &head.outputs; }
  int64_t* operator()(ConvHeadSpecification& head) const { return &head.outputs; }
  template <typename Other>
  int64_t* operator()(Other&) const {
    return nullptr;
  }
};

struct Builder {
  std::shared_ptr<Network> operator()(const EncoderSpecification& specification) const {
    return std::visit([&specification](const auto& make) { return under_head(make(), specification.head); },
                      specification.encoder);
  }
  std::shared_ptr<Network> operator()(const ModelMaker& model) const { return model.make(model.outputs); }
};

// Where the number of outputs stands that bins take the place of.
struct BinnedOutputs {
  int64_t* operator()(EncoderSpecification& specification) const {
    return std::visit(VoxelOutputs{}, specification.head);
  }
  int64_t* operator()(ModelMaker& model) const { return model.takes_bins ? &model.outputs : nullptr; }
};

// The same network with one output a bin.
NetworkSpecification with_bins(NetworkSpecification specification, const IntensityBins& bins) {
  require(bins.count >= 2 && bins.count <= 4096, "Expected 2 to 4096 for output.bins but received ",
          bins.count);
  require(std::isfinite(bins.low) && std::isfinite(bins.high) && bins.low < bins.high,
          "Expected output.low below output.high but received ", bins.low, " and ", bins.high);
  int64_t* outputs = std::visit(BinnedOutputs{}, specification);
  require(outputs != nullptr,
          "Expected a network that answers voxel by voxel with intensities where output names bins of "
          "intensity but received another");
  require(*outputs == 1, "Expected 1 for outputs where output names bins of intensity but received ",
          *outputs);
  *outputs = bins.count;
  return specification;
}

}  // namespace

std::shared_ptr<Network> build_network(const NetworkSpecification& specification,
                                       const std::optional<IntensityBins>& bins) {
  if (!bins) return std::visit(Builder{}, specification);
  auto network = std::visit(Builder{}, with_bins(specification, *bins));
  network->set_bins(*bins);
  return network;
}

}  // namespace transfer_limits
