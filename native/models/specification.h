#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "models/network.h"

namespace transfer_limits {

struct ConvNeXtSpecification {
  int64_t channels = 3;
  std::array<int64_t, 4> depths = {3, 3, 9, 3};
  std::array<int64_t, 4> dims = {96, 192, 384, 768};
  double drop_path = 0.0;
};

// A vision transformer over slices; see models/dino_vit.h.
struct DinoVitSpecification {
  int64_t channels = 3;
  int64_t patch = 14;
  int64_t embed_dim = 384;
  int64_t depth = 12;
  int64_t heads = 6;
  int64_t registers = 4;
  int64_t axis_tokens = 2;  // 0 or 2
};

// A map that a TorchScript module returns.
struct ScriptStage {
  int64_t channels = 0;
  std::array<int64_t, 3> stride = {1, 1, 1};  // depth, height, width
};

// A module of a TorchScript file; see models/torchscript.h.
struct TorchScriptSpecification {
  std::string file;                          // for messages
  std::shared_ptr<const std::string> bytes;  // of that file
  int64_t channels = 1;
  bool slices = false;  // it takes [N, C, H, W] in place of [N, C, D, H, W]
  int64_t features = 0;
  std::vector<ScriptStage> stages;
  bool drawn = false;  // weights are drawn anew
};

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
struct UNetSpecification {
  int64_t channels = 2;
  int64_t outputs = 1;
  int64_t features = 32;
  int64_t levels = 4;
  bool doubles_depth = false;
};

struct ResNetSpecification {
  int64_t channels = 1;
  int64_t classes = 4;
  int64_t features = 64;
  std::array<int64_t, 4> blocks = {3, 4, 6, 3};
};
struct TransUNetSpecification {
  int64_t channels = 2;
  int64_t outputs = 1;
  bool doubles_depth = false;
  int64_t features = 32;
  int64_t levels = 5;
  int64_t depth = 12;
  int64_t heads = 8;
};
struct VitSpecification {
  int64_t channels = 2;
  int64_t outputs = 1;
  std::array<int64_t, 3> patch = {8, 16, 16};  // depth, height, width
  int64_t embed_dim = 768;
  int64_t depth = 12;
  int64_t heads = 12;
};
struct DiffusionUNetSpecification {
  int64_t channels = 3;  // the last one is the time
  int64_t outputs = 1;
  int64_t features = 64;
  int64_t levels = 4;
};

using HeadSpecification =
    std::variant<std::monostate, ClassifierSpecification, UperNetSpecification, UnetrSpecification,
                 MaskedAutoencoderSpecification, ConvHeadSpecification, ContrastiveSpecification>;
class PyramidEncoder;
// Makes an encoder with fresh weights: what the families of families.h read their specification to.
using PyramidMaker = std::function<std::shared_ptr<PyramidEncoder>()>;

struct EncoderSpecification {
  std::variant<ConvNeXtSpecification, DinoVitSpecification, TorchScriptSpecification, PyramidMaker> encoder;
  HeadSpecification head;
};
using NetworkSpecification = std::variant<EncoderSpecification, UNetSpecification, TransUNetSpecification,
                                          VitSpecification, DiffusionUNetSpecification, ResNetSpecification>;

// Builds a network with fresh weights, drawn from LibTorch's generator. With `bins` it has one output a bin in place of
// its one, and answers with the expected intensity.
// Throws BAD_INPUT for sizes that no such network can have.
std::shared_ptr<Network> build_network(const NetworkSpecification& specification,
                                       const std::optional<IntensityBins>& bins = std::nullopt);

}  // namespace transfer_limits
