#include "models/slice_heads.h"

#include <utility>

#include "layers/precision.h"
#include "layers/resize.h"

namespace transfer_limits {
namespace {

[[noreturn]] void refuse_slices(const char* head) {
  throw Error("BAD_INPUT",
              std::string("Expected a volume [N, C, D, H, W] for the ") + head + " head but received slices");
}

// What `part` makes of a volume's map [N, D, E, h, w], slice by slice: [N, C, D, H', W'].
template <typename Part>
at::Tensor slice_by_slice(bool training, const at::Tensor& map, const Part& part) {
  const at::Tensor grid = map.flatten(0, 1);  // [N D, E, h, w]
  return in_groups_of_slices(training, grid.size(0),
                             [&](int64_t first, int64_t last) { return part(grid.slice(0, first, last)); })
      .unflatten(0, {map.size(0), map.size(1)})  // [N, D, C, H', W']
      .movedim(1, 2);
}

}  // namespace

SliceNetwork::SliceNetwork(std::shared_ptr<SliceEncoder> encoder, int64_t depths)
    : encoder_(std::move(encoder)) {
  encoder_->keep_depths(depths);
}

void SliceNetwork::register_with_encoder(const std::shared_ptr<torch::nn::Module>& head) {
  for (const auto& parameter : encoder_->named_parameters(/*recurse=*/false))
    register_parameter(parameter.key(), parameter.value());
  for (const auto& buffer : encoder_->named_buffers(/*recurse=*/false))
    register_buffer(buffer.key(), buffer.value());
  bool registered = false;
  for (const auto& part : encoder_->named_children()) {
    register_module(part.key(), part.value());
    if (!std::exchange(registered, true)) register_module("head", head);
  }
}

void SliceNetwork::train(bool on) {
  Network::train(on);
  encoder_->train(on);  // its parts are registered here, it is not
}

SliceClassifier::SliceClassifier(std::shared_ptr<SliceEncoder> on, const ClassifierSpecification& head)
    : SliceNetwork(std::move(on)), head_(encoder().width(), head) {
  register_with_encoder(head_.ptr());
}

at::Tensor SliceClassifier::decode(const Features& features, const at::Tensor& volume) {
  return head_(features.pooled);
}

at::Tensor SliceClassifier::forward_slices(const at::Tensor& slices, const at::Tensor& position) {
  return head_(encoder().forward_slices(slices, position));
}

SliceDense::SliceDense(const std::shared_ptr<SliceEncoder>& on, ConvHead head)
    : SliceNetwork(on), head_(std::move(head)) {}

SliceDense::SliceDense(const std::shared_ptr<SliceEncoder>& on, const ConvHeadSpecification& head)
    : SliceDense(on, ConvHead(on->width(), head.outputs, head.width)) {
  register_with_encoder(head_.ptr());
}

at::Tensor SliceDense::decode(const Features& features, const at::Tensor& volume) {
  require_stages(features, 1, volume);
  const at::Tensor maps = slice_by_slice(is_training(), features.stages[0], [this](const at::Tensor& grid) {
    return head_(grid);
  });  // [N, outputs, D, 8 h, 8 w]
  return answer_at(maps, volume.sizes().slice(2), volume);
}

at::Tensor SliceDense::forward_slices(const at::Tensor& slices, const at::Tensor& position) {
  require(!adds_input(),
          "Expected a volume [N, C, D, H, W] for an answer that is added to the input but received slices");
  const at::Tensor maps = head_(encoder().map_of(slices, position));
  return answer_from(maps.unsqueeze(2), slices.unsqueeze(2)).squeeze(2);  // as volumes of one slice
}

SliceContrastive::SliceContrastive(const std::shared_ptr<SliceEncoder>& on,
                                   const ContrastiveSpecification& head)
    : SliceDense(on, ConvHead(on->width(), head.segmentation.outputs)), contrastive_(on->width(), head) {
  register_module("CL_Head", contrastive_);
  register_with_encoder(head_.ptr());
}

at::Tensor SliceContrastive::project(const at::Tensor& features) {
  require(features.dim() == 2 && features.size(1) == encoder().width(), "Expected features [M, ",
          encoder().width(), "] for the contrastive head but received ", features.sizes());
  return contrastive_(features);
}

SliceSubpixel::SliceSubpixel(std::shared_ptr<SliceEncoder> on, const UnetrSpecification& head)
    : SliceNetwork(std::move(on)), head_(encoder().width(), head) {
  register_with_encoder(head_.ptr());
}

at::Tensor SliceSubpixel::decode(const Features& features, const at::Tensor& volume) {
  require_stages(features, 1, volume);
  const at::Tensor maps = slice_by_slice(is_training(), features.stages[0],
                                         [this](const at::Tensor& grid) { return head_->features_of(grid); });
  return answer_from(head_(trilinear(maps, volume.sizes().slice(2)), volume), volume);
}

at::Tensor SliceSubpixel::forward_slices(const at::Tensor& slices, const at::Tensor& position) {
  refuse_slices("subpixel");
}

SliceUnetr::SliceUnetr(std::shared_ptr<SliceEncoder> on, const UnetrSpecification& head)
    : SliceNetwork(std::move(on), int64_t(VitUnetrHeadImpl::kDepths)),
      head_(encoder().width(), encoder().channels(), encoder().patch(), head) {
  register_with_encoder(head_.ptr());
}

at::Tensor SliceUnetr::decode(const Features& features, const at::Tensor& volume) {
  require_stages(features, VitUnetrHeadImpl::kDepths, volume);
  return answer_from(head_(features.stages, encoder().with_adjacent(volume).movedim(2, 1)), volume);
}

at::Tensor SliceUnetr::forward_slices(const at::Tensor& slices, const at::Tensor& position) {
  refuse_slices("unetr");
}

}  // namespace transfer_limits
