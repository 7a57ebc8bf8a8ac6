#include <cmath>

#include "models/classifier.h"
#include "models/convnext_v2.h"
#include "models/diffusion_unet.h"
#include "models/dino_vit.h"
#include "models/masked_autoencoder.h"
#include "models/resnet.h"
#include "models/specification.h"
#include "models/torchscript.h"
#include "models/transunet.h"
#include "models/unet.h"
#include "models/unetr.h"
#include "models/upernet.h"
#include "models/vit.h"

namespace transfer_limits {
namespace {

void check_size(int64_t value, int64_t low, int64_t high, const char* name) {
  require(value >= low && value <= high, "Expected ", low, " to ", high, " for ", name, " but received ",
          value);
}

void check(const ConvNeXtSpecification& encoder) {
  check_size(encoder.channels, 1, 4096, "the encoder's channels");
  for (const int64_t depth : encoder.depths) check_size(depth, 1, 1000, "a stage's depth");
  for (const int64_t dim : encoder.dims) check_size(dim, 1, 65536, "a stage's width");
  require(encoder.drop_path >= 0.0 && encoder.drop_path < 1.0,
          "Expected a rate in [0, 1) for dropPath but received ", encoder.drop_path);
}

void check(const DinoVitSpecification& encoder) {
  check_size(encoder.channels, 1, 4096, "the encoder's channels");
  check_size(encoder.patch, 1, 4096, "the encoder's patch");
  check_size(encoder.embed_dim, 1, 65536, "the encoder's embedDim");
  check_size(encoder.depth, 1, 1000, "the encoder's depth");
  check_size(encoder.heads, 1, 65536, "the encoder's heads");
  check_size(encoder.registers, 0, 65536, "the encoder's registers");
  require(encoder.embed_dim % encoder.heads == 0, "Expected heads that divide the encoder's embedDim of ",
          encoder.embed_dim, " but received ", encoder.heads);
  require(encoder.axis_tokens == 0 || encoder.axis_tokens == 2,
          "Expected 0 or 2 (slice position, number of slices) for the encoder's axisTokens but received ",
          encoder.axis_tokens);
}

void check(const TorchScriptSpecification& encoder) {
  require(encoder.bytes != nullptr, "Expected the bytes of the file ", encoder.file, " but received none");
  check_size(encoder.channels, 1, 4096, "encoder.channels");
  check_size(encoder.features, 1, 65536, "encoder.features");
  for (const ScriptStage& stage : encoder.stages) {
    check_size(stage.channels, 1, 65536, "a stage's channels");
    for (const int64_t stride : stage.stride) check_size(stride, 1, 256, "a stage's stride");
  }
  require(encoder.stages.empty() || encoder.stages.back().channels == encoder.features,
          "Expected encoder.features to be the channels of the last of encoder.stages, ",
          encoder.stages.empty() ? 0 : encoder.stages.back().channels,
          ", over whose positions they are the mean, but received ", encoder.features);
}

// The heads that stand on a convolutional encoder of volumes.
struct PyramidBuilder {
  std::shared_ptr<PyramidEncoder> encoder;

  std::shared_ptr<Network> operator()(std::monostate) const { return encoder; }
  std::shared_ptr<Network> operator()(const ClassifierSpecification& head) const {
    check_size(head.classes, 1, 65536, "the classifier's classes");
    check_size(head.bottleneck, 1, 65536, "the classifier's bottleneck");
    return std::make_shared<Classifier>(encoder, head);
  }
  std::shared_ptr<Network> operator()(const UperNetSpecification& head) const {
    check_size(head.outputs, 1, 4096, "the head's outputs");
    check_size(head.hidden, 1, 65536, "UperNet's hidden channels");
    check_size(head.auxiliary, 1, 65536, "UperNet's auxiliary channels");
    return std::make_shared<UperNet>(encoder, head);
  }
  std::shared_ptr<Network> operator()(const UnetrSpecification& head) const {
    check_size(head.outputs, 1, 4096, "the head's outputs");
    check_size(head.feature_size, 1, 4096, "UNETR's feature size");
    return std::make_shared<Unetr>(encoder, head);
  }
  std::shared_ptr<Network> operator()(const MaskedAutoencoderSpecification& head) const {
    require(head.patch == MaskedAutoencoder::kPatch, "Expected a patch of ", MaskedAutoencoder::kPatch,
            ", the stride of the encoder's third stage, for the masked autoencoder but received ",
            head.patch);
    check_size(head.decoder_dim, 1, 65536, "the decoder's width");
    check_size(head.decoder_depth, 1, 1000, "the decoder's depth");
    return std::make_shared<MaskedAutoencoder>(encoder, head);
  }
  template <typename Head>
  std::shared_ptr<Network> operator()(const Head&) const {
    throw Error(
        "BAD_INPUT",
        "Expected the head classifier, upernet, unetr, subpixel or masked-autoencoder for an encoder of "
        "volumes such as resnet-3d but received conv1 or contrastive, which stand on a dino-vit");
  }
};

// What the heads that stand on a vision transformer need; which ones do, the network checks.
struct DinoVitHeadCheck {
  void operator()(const ConvHeadSpecification& head) const {
    check_size(head.outputs, 1, 4096, "the head's outputs");
    check_size(head.width, 1, 4096, "the head's width");
  }
  void operator()(const ContrastiveSpecification& head) const {
    check_size(head.segmentation.outputs, 1, 4096, "the head's outputs");
    check_size(head.hidden, 1, 65536, "the contrastive head's hidden features");
    check_size(head.bottleneck, 1, 65536, "the contrastive head's bottleneck");
    check_size(head.prototypes, 1, 1 << 20, "the contrastive head's prototypes");
  }
  void operator()(const ClassifierSpecification& head) const {
    check_size(head.classes, 1, 65536, "the classifier's classes");
    check_size(head.bottleneck, 1, 65536, "the classifier's bottleneck");
  }
  void operator()(const UnetrSpecification& head) const {
    check_size(head.outputs, 1, 4096, "the head's outputs");
    check_size(head.feature_size, 1, 4096, "the head's feature size");
  }
  template <typename Head>
  void operator()(const Head&) const {}
};

struct EncoderBuilder {
  const EncoderSpecification& specification;

  std::shared_ptr<Network> operator()(const ConvNeXtSpecification& encoder) const {
    check(encoder);
    return std::visit(PyramidBuilder{std::make_shared<ConvNeXtV2>(encoder)}, specification.head);
  }
  std::shared_ptr<Network> operator()(const PyramidMaker& make) const {
    return std::visit(PyramidBuilder{make()}, specification.head);
  }
  std::shared_ptr<Network> operator()(const TorchScriptSpecification& encoder) const {
    check(encoder);
    require(
        !encoder.stages.empty() || std::holds_alternative<std::monostate>(specification.head) ||
            std::holds_alternative<ClassifierSpecification>(specification.head),
        "Expected the head classifier, or none, on a TorchScript module that returns pooled features (",
        encoder.file,
        "); for another head, export it so that it returns feature maps, and declare them in encoder.stages");
    return std::visit(PyramidBuilder{std::make_shared<TorchScriptEncoder>(encoder)}, specification.head);
  }
  std::shared_ptr<Network> operator()(const DinoVitSpecification& encoder) const {
    check(encoder);
    std::visit(DinoVitHeadCheck{}, specification.head);
    return std::make_shared<DinoVit>(encoder, specification.head);
  }
};

std::shared_ptr<Network> build(const EncoderSpecification& specification) {
  return std::visit(EncoderBuilder{specification}, specification.encoder);
}

std::shared_ptr<Network> build(const UNetSpecification& unet) {
  check_size(unet.channels, 1, 4096, "the U-Net's channels");
  check_size(unet.outputs, 1, 4096, "the U-Net's outputs");
  check_size(unet.features, 1, 4096, "the U-Net's features");
  check_size(unet.levels, 2, 8, "the U-Net's levels");
  return std::make_shared<UNet>(unet);
}

std::shared_ptr<Network> build(const TransUNetSpecification& model) {
  check_size(model.channels, 1, 4096, "the TransUNet's channels");
  check_size(model.outputs, 1, 4096, "the TransUNet's outputs");
  check_size(model.features, 1, 4096, "the TransUNet's features");
  check_size(model.levels, 2, 8, "the TransUNet's levels");
  check_size(model.depth, 1, 1000, "the TransUNet's depth");
  check_size(model.heads, 1, 65536, "the TransUNet's heads");
  const int64_t width = model.features << (model.levels - 1);
  require(width % model.heads == 0, "Expected heads that divide the ", width,
          " channels of the TransUNet's coarsest level but received ", model.heads);
  return std::make_shared<TransUNet>(model);
}

std::shared_ptr<Network> build(const VitSpecification& model) {
  check_size(model.channels, 1, 4096, "the vision transformer's channels");
  check_size(model.outputs, 1, 4096, "the vision transformer's outputs");
  for (const int64_t edge : model.patch)
    check_size(edge, 1, 256, "an edge of the vision transformer's patch");
  check_size(model.embed_dim, 1, 65536, "the vision transformer's embedDim");
  check_size(model.depth, 1, 1000, "the vision transformer's depth");
  check_size(model.heads, 1, 65536, "the vision transformer's heads");
  require(model.embed_dim % model.heads == 0,
          "Expected heads that divide the vision transformer's embedDim of ", model.embed_dim,
          " but received ", model.heads);
  return std::make_shared<Vit>(model);
}

std::shared_ptr<Network> build(const DiffusionUNetSpecification& model) {
  check_size(model.channels, 2, 4096, "the diffusion U-Net's channels (the last one is the time)");
  check_size(model.outputs, 1, 4096, "the diffusion U-Net's outputs");
  check_size(model.features, 2, 4096, "the diffusion U-Net's features");
  require(model.features % 2 == 0, "Expected an even number for the diffusion U-Net's features but received ",
          model.features);
  check_size(model.levels, 2, 8, "the diffusion U-Net's levels");
  return std::make_shared<DiffusionUNet>(model);
}

std::shared_ptr<Network> build(const ResNetSpecification& model) {
  check_size(model.channels, 1, 4096, "the ResNet's channels");
  check_size(model.classes, 1, 65536, "the ResNet's classes");
  check_size(model.features, 1, 4096, "the ResNet's features");
  for (const int64_t blocks : model.blocks) check_size(blocks, 1, 1000, "a stage's blocks");
  return std::make_shared<ResNet>(model);
}

// How many outputs a network has a voxel; null where it doesn't answer voxel by voxel.
struct VoxelOutputs {
  int64_t* operator()(EncoderSpecification& specification) const {
    return std::visit(*this, specification.head);
  }
  int64_t* operator()(UperNetSpecification& head) const { return &head.outputs; }
  int64_t* operator()(UnetrSpecification& head) const { return &head.outputs; }
  int64_t* operator()(ConvHeadSpecification& head) const { return &head.outputs; }
  int64_t* operator()(UNetSpecification& model) const { return &model.outputs; }
  int64_t* operator()(TransUNetSpecification& model) const { return &model.outputs; }
  int64_t* operator()(VitSpecification& model) const { return &model.outputs; }
  template <typename Other>
  int64_t* operator()(Other&) const {
    return nullptr;
  }
};

// The same network with one output a bin.
NetworkSpecification with_bins(NetworkSpecification specification, const IntensityBins& bins) {
  check_size(bins.count, 2, 4096, "output.bins");
  require(std::isfinite(bins.low) && std::isfinite(bins.high) && bins.low < bins.high,
          "Expected output.low below output.high but received ", bins.low, " and ", bins.high);
  int64_t* outputs = std::visit(VoxelOutputs{}, specification);
  require(outputs != nullptr,
          "Expected a network that answers voxel by voxel (upernet, unetr, subpixel, conv1, unet-3d, "
          "transunet-3d or vit-3d) where output names bins of intensity but received another");
  require(*outputs == 1, "Expected 1 for outputs where output names bins of intensity but received ",
          *outputs);
  *outputs = bins.count;
  return specification;
}

}  // namespace

std::shared_ptr<Network> build_network(const NetworkSpecification& specification,
                                       const std::optional<IntensityBins>& bins) {
  const auto build_one = [](const auto& chosen) { return build(chosen); };
  if (!bins) return std::visit(build_one, specification);
  auto network = std::visit(build_one, with_bins(specification, *bins));
  network->set_bins(*bins);
  return network;
}

}  // namespace transfer_limits
