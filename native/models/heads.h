#pragma once

#include <cstdint>
#include <memory>
#include <variant>

#include "models/families.h"
#include "models/network.h"
#include "models/settings.h"

namespace transfer_limits {

struct ClassifierSpecification {
  int64_t classes = 4;
  int64_t bottleneck = 256;
};
struct UperNetSpecification {
  int64_t outputs = 1;
  int64_t hidden = 512;
  int64_t auxiliary = 256;
};
struct UnetrSpecification {
  int64_t outputs = 1;
  int64_t feature_size = 16;
  bool doubles_depth = false;  // the subpixel head
};
struct MaskedAutoencoderSpecification {
  int64_t patch = 16;
  int64_t decoder_dim = 512;
  int64_t decoder_depth = 1;
};
struct ConvHeadSpecification {
  int64_t outputs = 1;
  int64_t width = 16;
};
struct ContrastiveSpecification {
  ConvHeadSpecification segmentation;  // the published network has both
  int64_t hidden = 2048;
  int64_t bottleneck = 256;
  int64_t prototypes = 65536;
};

// What stands on an encoder; nothing, where it stands alone.
using HeadSpecification =
    std::variant<std::monostate, ClassifierSpecification, UperNetSpecification, UnetrSpecification,
                 MaskedAutoencoderSpecification, ConvHeadSpecification, ContrastiveSpecification>;

// Throws BAD_INPUT for a kind that nobody knows, and for sizes that no such head can have.
HeadSpecification read_head(const Settings& head);

// An encoder with that head, or alone: its weights are drawn before the head's. Throws BAD_INPUT for a head that stands on
// the other kind of encoder alone.
std::shared_ptr<Network> under_head(const std::shared_ptr<PyramidEncoder>& encoder,
                                    const HeadSpecification& head);
std::shared_ptr<Network> under_head(const std::shared_ptr<SliceEncoder>& encoder,
                                    const HeadSpecification& head);

}  // namespace transfer_limits
