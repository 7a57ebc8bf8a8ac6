#include "models/heads.h"

#include <string>
#include <utility>
#include <vector>

#include "models/classifier.h"
#include "models/masked_autoencoder.h"
#include "models/slice_heads.h"
#include "models/unetr.h"
#include "models/upernet.h"

namespace transfer_limits {
namespace {

constexpr int64_t kMostOutputs = 4096;
constexpr int64_t kMostFeatures = 65536;

int64_t outputs_of(const Settings& head) { return head.integer("outputs", 1, kMostOutputs); }

HeadSpecification read_classifier(const Settings& head) {
  ClassifierSpecification result;
  result.classes = head.integer("classes", 1, kMostFeatures);
  result.bottleneck = head.integer_or("bottleneck", result.bottleneck, 1, kMostFeatures);
  return result;
}

HeadSpecification read_upernet(const Settings& head) {
  UperNetSpecification result;
  result.outputs = outputs_of(head);
  result.hidden = head.integer_or("hidden", result.hidden, 1, kMostFeatures);
  result.auxiliary = head.integer_or("auxiliary", result.auxiliary, 1, kMostFeatures);
  return result;
}

template <bool kDoublesDepth>
HeadSpecification read_unetr(const Settings& head) {
  UnetrSpecification result;
  result.outputs = outputs_of(head);
  result.feature_size = head.integer_or("featureSize", result.feature_size, 1, 4096);
  result.doubles_depth = kDoublesDepth;
  return result;
}

HeadSpecification read_masked_autoencoder(const Settings& head) {
  MaskedAutoencoderSpecification result;
  result.patch = head.integer_or("patch", result.patch, 1, 4096);
  require(result.patch == MaskedAutoencoder::kPatch, "Expected a patch of ", MaskedAutoencoder::kPatch,
          ", the stride of the encoder's third stage, for the masked autoencoder but received ",
          result.patch);
  result.decoder_dim = head.integer_or("decoderDim", result.decoder_dim, 1, kMostFeatures);
  result.decoder_depth = head.integer_or("decoderDepth", result.decoder_depth, 1, 1000);
  return result;
}

HeadSpecification read_conv_head(const Settings& head) {
  ConvHeadSpecification result;
  result.outputs = outputs_of(head);
  result.width = head.integer_or("width", result.width, 1, 4096);
  return result;
}

HeadSpecification read_contrastive(const Settings& head) {
  ContrastiveSpecification result;
  result.segmentation.outputs = outputs_of(head);
  result.hidden = head.integer_or("hidden", result.hidden, 1, kMostFeatures);
  result.bottleneck = head.integer_or("bottleneck", result.bottleneck, 1, kMostFeatures);
  result.prototypes = head.integer_or("prototypes", result.prototypes, 1, 1 << 20);
  return result;
}

using HeadReader = HeadSpecification (*)(const Settings&);

const std::vector<std::pair<std::string, HeadReader>>& head_readers() {
  static const std::vector<std::pair<std::string, HeadReader>> readers = {
      {"classifier", &read_classifier},
      {"upernet", &read_upernet},
      {"unetr", &read_unetr</*kDoublesDepth=*/false>},
      {"subpixel", &read_unetr</*kDoublesDepth=*/true>},
      {"masked-autoencoder", &read_masked_autoencoder},
      {"conv1", &read_conv_head},
      {"contrastive", &read_contrastive}};
  return readers;
}

struct OnPyramid {
  const std::shared_ptr<PyramidEncoder>& encoder;

  std::shared_ptr<Network> operator()(std::monostate) const { return encoder; }
  std::shared_ptr<Network> operator()(const ClassifierSpecification& head) const {
    return std::make_shared<Classifier>(encoder, head);
  }
  std::shared_ptr<Network> operator()(const UperNetSpecification& head) const {
    encoder->require_maps();
    return std::make_shared<UperNet>(encoder, head);
  }
  std::shared_ptr<Network> operator()(const UnetrSpecification& head) const {
    encoder->require_maps();
    return std::make_shared<Unetr>(encoder, head);
  }
  std::shared_ptr<Network> operator()(const MaskedAutoencoderSpecification& head) const {
    encoder->require_maps();
    return std::make_shared<MaskedAutoencoder>(encoder, head);
  }
  template <typename Head>
  std::shared_ptr<Network> operator()(const Head&) const {
    throw Error(
        "BAD_INPUT",
        "Expected the head classifier, upernet, unetr, subpixel or masked-autoencoder for an encoder of "
        "volumes but received conv1 or contrastive, which stand on an encoder that goes slice by slice");
  }
};

struct OnSlices {
  const std::shared_ptr<SliceEncoder>& encoder;

  std::shared_ptr<Network> operator()(std::monostate) const { return encoder; }
  std::shared_ptr<Network> operator()(const ClassifierSpecification& head) const {
    return std::make_shared<SliceClassifier>(encoder, head);
  }
  std::shared_ptr<Network> operator()(const ConvHeadSpecification& head) const {
    return std::make_shared<SliceDense>(encoder, head);
  }
  std::shared_ptr<Network> operator()(const ContrastiveSpecification& head) const {
    return std::make_shared<SliceContrastive>(encoder, head);
  }
  std::shared_ptr<Network> operator()(const UnetrSpecification& head) const {
    if (head.doubles_depth) return std::make_shared<SliceSubpixel>(encoder, head);
    return std::make_shared<SliceUnetr>(encoder, head);
  }
  template <typename Head>
  std::shared_ptr<Network> operator()(const Head&) const {
    throw Error(
        "BAD_INPUT",
        "Expected the head classifier, subpixel, unetr, conv1 or contrastive for an encoder that goes "
        "slice by slice but received upernet or masked-autoencoder, which stand on an encoder of volumes");
  }
};

}  // namespace

HeadSpecification read_head(const Settings& head) {
  std::vector<std::string> kinds;
  for (const auto& [kind, read] : head_readers()) kinds.push_back(kind);
  const std::string chosen = head.choice("kind", kinds);
  return std::find_if(head_readers().begin(), head_readers().end(),
                      [&chosen](const auto& reader) { return reader.first == chosen; })
      ->second(head);
}

std::shared_ptr<Network> under_head(const std::shared_ptr<PyramidEncoder>& encoder,
                                    const HeadSpecification& head) {
  return std::visit(OnPyramid{encoder}, head);
}

std::shared_ptr<Network> under_head(const std::shared_ptr<SliceEncoder>& encoder,
                                    const HeadSpecification& head) {
  return std::visit(OnSlices{encoder}, head);
}

}  // namespace transfer_limits
