#pragma once

#include <memory>
#include <optional>
#include <variant>

#include "models/families.h"
#include "models/heads.h"
#include "models/network.h"

namespace transfer_limits {

struct EncoderSpecification {
  EncoderMaker encoder;
  HeadSpecification head;
};
// What a network is made of, read and found right.
using NetworkSpecification = std::variant<EncoderSpecification, ModelMaker>;

// Builds a network with fresh weights, drawn from LibTorch's generator. With `bins` it has one output a bin in place of
// its one, and answers with the expected intensity. Throws BAD_INPUT for a head that the encoder cannot have, and for bins
// of a network that has none.
std::shared_ptr<Network> build_network(const NetworkSpecification& specification,
                                       const std::optional<IntensityBins>& bins = std::nullopt);

}  // namespace transfer_limits
