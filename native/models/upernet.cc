#include "models/upernet.h"

#include <string>

#include "layers/container.h"
#include "layers/conv3d.h"
#include "layers/deterministic.h"
#include "layers/patch_conv3d.h"
#include "layers/resize.h"

namespace transfer_limits {
namespace {

constexpr std::array<int64_t, 4> kPoolScales = {1, 2, 3, 6};
constexpr size_t kAuxiliaryStage = 2;

torch::nn::Conv3d pointwise(int64_t in, int64_t out) {
  return torch::nn::Conv3d(torch::nn::Conv3dOptions(in, out, 1));
}

}  // namespace

ConvNormGeluImpl::ConvNormGeluImpl(int64_t in, int64_t out, int64_t kernel)
    : conv_(register_module(
          "conv",
          torch::nn::Conv3d(torch::nn::Conv3dOptions(in, out, kernel).padding(kernel / 2).bias(false)))),
      norm_(register_module("batch_norm", ChannelNorm(out))) {}

at::Tensor ConvNormGeluImpl::forward(const at::Tensor& x) {
  return at::gelu(norm_(conv3d_same(x, conv_->weight)));
}

UperNet::UperNet(std::shared_ptr<PyramidEncoder> encoder, const UperNetSpecification& head)
    : encoder_(register_module("encoder", std::move(encoder))) {
  const auto dims = encoder_->widths();
  const int64_t hidden = head.hidden;

  auto decode_head = register_module("decode_head", container());
  classifier_ = decode_head->register_module("classifier", pointwise(hidden, head.outputs));
  auto pooling = decode_head->register_module("psp_modules", container());
  for (size_t scale = 0; scale < kPoolScales.size(); ++scale) {
    auto module = pooling->register_module(std::to_string(scale), container());
    pyramid_pooling_.push_back(module->register_module("1", ConvNormGelu(dims[3], hidden, 1)));
  }
  const int64_t pooled = dims[3] + int64_t(kPoolScales.size()) * hidden;
  bottleneck_ = decode_head->register_module("bottleneck", ConvNormGelu(pooled, hidden, 3));
  auto laterals = decode_head->register_module("lateral_convs", container());
  auto fpn = decode_head->register_module("fpn_convs", container());
  for (size_t stage = 0; stage < 3; ++stage) {
    lateral_.push_back(
        laterals->register_module(std::to_string(stage), ConvNormGelu(dims[stage], hidden, 1)));
    fpn_.push_back(fpn->register_module(std::to_string(stage), ConvNormGelu(hidden, hidden, 3)));
  }
  fpn_bottleneck_ = decode_head->register_module("fpn_bottleneck", ConvNormGelu(4 * hidden, hidden, 3));

  auto auxiliary_head = register_module("auxiliary_head", container());
  auto convs = auxiliary_head->register_module("convs", container());
  auxiliary_ = convs->register_module("0", ConvNormGelu(dims[kAuxiliaryStage], head.auxiliary, 3));
  auxiliary_classifier_ =
      auxiliary_head->register_module("classifier", pointwise(head.auxiliary, head.outputs));

  auto norms = register_module("hidden_norm", container());
  for (size_t stage = 0; stage < 4; ++stage) {
    stage_norm_.push_back(norms->register_module(std::to_string(stage), ChannelNorm(dims[stage])));
  }
}

std::vector<at::Tensor> UperNet::normed_stages(const Features& features, const at::Tensor& input) {
  require_stages(features, 4, input);
  std::vector<at::Tensor> stages = features.stages;
  for (size_t stage = 0; stage < 4; ++stage) stages[stage] = stage_norm_[stage](stages[stage]);
  return stages;
}

at::Tensor UperNet::predict(const std::vector<at::Tensor>& stages) {
  const at::Tensor& deepest = stages[3];
  std::vector<at::Tensor> pooled = {deepest};
  for (size_t scale = 0; scale < kPoolScales.size(); ++scale) {
    const int64_t size = kPoolScales[scale];
    const at::Tensor context = pyramid_pooling_[scale](box_means(deepest, {size, size, size}));
    pooled.push_back(resize_to(context, deepest.sizes().slice(2)));
  }

  std::array<at::Tensor, 4> pyramid;
  for (size_t stage = 0; stage < 3; ++stage) pyramid[stage] = lateral_[stage](stages[stage]);
  pyramid[3] = bottleneck_(at::cat(pooled, 1));
  for (size_t stage = 3; stage > 0; --stage) {  // top down
    pyramid[stage - 1] = pyramid[stage - 1] + resize_to(pyramid[stage], pyramid[stage - 1].sizes().slice(2));
  }

  std::vector<at::Tensor> fused;
  for (size_t stage = 0; stage < 4; ++stage) {
    const at::Tensor level = stage < 3 ? fpn_[stage](pyramid[stage]) : pyramid[stage];
    fused.push_back(resize_to(level, pyramid[0].sizes().slice(2)));
  }
  return patch_conv3d(classifier_, fpn_bottleneck_(at::cat(fused, 1)));  // [N, outputs, D / 4, H / 4, W / 4]
}

at::Tensor UperNet::decode(const Features& features, const at::Tensor& input) {
  return answer_at(predict(normed_stages(features, input)), input.sizes().slice(2), input);
}

TrainingAnswers UperNet::decoded_training_answers(const Features& features, const at::Tensor& input,
                                                  bool auxiliary) {
  const std::vector<at::Tensor> stages = normed_stages(features, input);
  const auto size = input.sizes().slice(2);
  TrainingAnswers answers{answer_at(predict(stages), size, input), {}};
  if (auxiliary) {
    answers.auxiliary =
        answer_at(patch_conv3d(auxiliary_classifier_, auxiliary_(stages[kAuxiliaryStage])), size, input);
  }
  return answers;
}

}  // namespace transfer_limits
