#include "models/classifier.h"
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

struct HeadBuilder {
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
};

}  // namespace

std::shared_ptr<Network> build_network(const NetworkSpecification& specification) {
  if (const auto* encoder = std::get_if<EncoderSpecification>(&specification)) {
    check(encoder->encoder);
    return std::visit(HeadBuilder{encoder->encoder}, encoder->head);
  }
  const auto& unet = std::get<UNetSpecification>(specification);
  check_size(unet.channels, 1, 4096, "the U-Net's channels");
  check_size(unet.outputs, 1, 4096, "the U-Net's outputs");
  check_size(unet.features, 1, 4096, "the U-Net's features");
  check_size(unet.levels, 2, 8, "the U-Net's levels");
  return std::make_shared<UNet>(unet);
}

}  // namespace transfer_limits
