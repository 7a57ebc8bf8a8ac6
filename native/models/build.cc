#include "models/classifier.h"
#include "models/dino_vit.h"
#include "models/masked_autoencoder.h"
#include "models/specification.h"
#include "models/unet.h"
#include "models/unetr.h"
#include "models/upernet.h"

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

// The heads that stand on a ConvNeXt.
struct ConvNeXtBuilder {
  const ConvNeXtSpecification& encoder;

  std::shared_ptr<Network> operator()(std::monostate) const { return std::make_shared<ConvNeXtV2>(encoder); }
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
    require(head.patch == ConvNeXtV2::kStride, "Expected a patch of ", ConvNeXtV2::kStride,
            ", the encoder's stride, for the masked autoencoder but received ", head.patch);
    check_size(head.decoder_dim, 1, 65536, "the decoder's width");
    check_size(head.decoder_depth, 1, 1000, "the decoder's depth");
    return std::make_shared<MaskedAutoencoder>(encoder, head);
  }
  template <typename Head>
  std::shared_ptr<Network> operator()(const Head&) const {
    throw Error(
        "BAD_INPUT",
        "Expected the head classifier, upernet, unetr, subpixel or masked-autoencoder for an encoder of the "
        "family convnext-v2-3d but received conv1 or contrastive, which stand on a dino-vit");
  }
};

// The heads that stand on a vision transformer.
struct DinoVitBuilder {
  const DinoVitSpecification& encoder;

  std::shared_ptr<Network> operator()(std::monostate) const { return std::make_shared<DinoVit>(encoder); }
  std::shared_ptr<Network> operator()(const ConvHeadSpecification& head) const {
    check_size(head.outputs, 1, 4096, "the head's outputs");
    return std::make_shared<DinoVit>(encoder, head);
  }
  std::shared_ptr<Network> operator()(const ContrastiveSpecification& head) const {
    check_size(head.segmentation.outputs, 1, 4096, "the head's outputs");
    check_size(head.hidden, 1, 65536, "the contrastive head's hidden features");
    check_size(head.bottleneck, 1, 65536, "the contrastive head's bottleneck");
    check_size(head.prototypes, 1, 1 << 20, "the contrastive head's prototypes");
    return std::make_shared<DinoVit>(encoder, head);
  }
  template <typename Head>
  std::shared_ptr<Network> operator()(const Head&) const {
    throw Error(
        "BAD_INPUT",
        "Expected the head conv1 or contrastive for an encoder of the family dino-vit but received one that "
        "stands on a convnext-v2-3d");
  }
};

struct EncoderBuilder {
  const EncoderSpecification& specification;

  std::shared_ptr<Network> operator()(const ConvNeXtSpecification& encoder) const {
    check(encoder);
    return std::visit(ConvNeXtBuilder{encoder}, specification.head);
  }
  std::shared_ptr<Network> operator()(const DinoVitSpecification& encoder) const {
    check(encoder);
    return std::visit(DinoVitBuilder{encoder}, specification.head);
  }
};

}  // namespace

std::shared_ptr<Network> build_network(const NetworkSpecification& specification) {
  if (const auto* encoder = std::get_if<EncoderSpecification>(&specification)) {
    return std::visit(EncoderBuilder{*encoder}, encoder->encoder);
  }
  const auto& unet = std::get<UNetSpecification>(specification);
  check_size(unet.channels, 1, 4096, "the U-Net's channels");
  check_size(unet.outputs, 1, 4096, "the U-Net's outputs");
  check_size(unet.features, 1, 4096, "the U-Net's features");
  check_size(unet.levels, 2, 8, "the U-Net's levels");
  return std::make_shared<UNet>(unet);
}

}  // namespace transfer_limits
