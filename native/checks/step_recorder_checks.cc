#include "checks/checks.h"
#include "models/convnext_v2.h"
#include "models/dino_vit.h"
#include "models/specification.h"
#include "training/recorded_answers.h"
#include "training/trainer.h"

namespace transfer_limits::checks {
namespace {

// Plain steps first, then recorded ones, of two shapes in turn.
constexpr uint64_t kSteps = 14;

struct RecordedCase {
  std::string name;
  NetworkSpecification specification;
  Loss loss;
  std::vector<int64_t> input;
  std::vector<int64_t> target;
  bool frozen = false;
};

struct Trained {
  at::Tensor readings;  // [kSteps, 2]
  at::Tensor weights;   // [all parameters and buffers]
};

at::Tensor target_of(const RecordedCase& one, const std::vector<int64_t>& size, uint64_t seed) {
  const at::Tensor target = values(size, seed, at::kFloat);
  if (one.loss.kind == Loss::Kind::kCrossEntropy) return (target * 2 + 2).floor().to(at::kLong);
  return target.gt(0).to(at::kFloat);
}

Trained trained(const RecordedCase& one, const at::Device& device, bool recorded) {
  const torch::AutoGradMode on(true);
  torch::manual_seed(7);
  const std::shared_ptr<Network> network = build_network(one.specification);
  network->to(device);
  TrainerOptions options;
  options.loss = one.loss;
  options.gradient_clip = 1.0;
  options.cuda_graphs = recorded;
  if (one.frozen) options.trainable = {"head."};
  Trainer trainer(network, options);
  std::vector<at::Tensor> readings, weights;
  for (uint64_t step = 0; step < kSteps; ++step) {
    // Every third batch is smaller, every batch and learning rate another.
    const int64_t samples = one.input[0] - (step % 3 == 2 ? 1 : 0);
    std::vector<int64_t> input_size = one.input, target_size = one.target;
    input_size[0] = target_size[0] = samples;
    const at::Tensor input = values(input_size, 100 + step, at::kFloat).to(device);
    const at::Tensor target = target_of(one, target_size, 200 + step).to(device);
    std::optional<Features> features;
    if (one.frozen) {
      const torch::NoGradGuard no_grad;
      network->eval();
      features = network->embed(input);
      features->tokens.reset();
    }
    readings.push_back(trainer.step(input, target, features, 1e-3 / double(1 + step), 300 + step).cpu());
  }
  for (const at::Tensor& tensor : network->parameters()) weights.push_back(tensor.detach().flatten().cpu());
  for (const at::Tensor& tensor : network->buffers()) {
    weights.push_back(tensor.flatten().to(at::kCPU, at::kFloat));
  }
  return {at::stack(readings), at::cat(weights)};
}

// Answers of two shapes in turn, from weights that differ from one to the next; and how many volumes were embedded.
Trained answered(const RecordedCase& one, const at::Device& device, bool recorded) {
  const torch::NoGradGuard no_grad;
  torch::manual_seed(7);
  const std::shared_ptr<Network> network = build_network(one.specification);
  network->to(device);
  network->eval();
  RecordedAnswers recorder;
  std::vector<at::Tensor> answers;
  for (uint64_t step = 0; step < kSteps; ++step) {
    std::vector<int64_t> size = one.input;
    size[0] -= step % 3 == 2 ? 1 : 0;
    const at::Tensor input = values(size, 100 + step, at::kFloat).to(device);
    for (const at::Tensor& parameter : network->parameters()) parameter.mul_(1.01);
    std::vector<at::Tensor> inputs{input};
    auto kind = RecordedAnswers::Kind::kForward;
    if (one.frozen) {
      const Features features = network->embed(input);
      inputs.push_back(features.pooled);
      inputs.insert(inputs.end(), features.stages.begin(), features.stages.end());
      kind = RecordedAnswers::Kind::kDecode;
    }
    const auto answer = [&](const std::vector<at::Tensor>& given) {
      if (given.size() == 1) return network->forward(given[0]);
      return network->decode({given[1], {given.begin() + 2, given.end()}, std::nullopt}, given[0]);
    };
    const at::Tensor said =
        recorded ? recorder.run(*network, kind, Precision::kFloat32, inputs, answer) : answer(inputs);
    answers.push_back(said.flatten().cpu());
  }
  return {at::full({1}, network->embedded(), at::kDouble), at::cat(answers)};
}

Loss loss_of(Loss::Kind kind, std::vector<double> weights = {}) {
  Loss loss;
  loss.kind = kind;
  loss.weights = std::move(weights);
  return loss;
}

}  // namespace

void check_step_recorder(Report& report) {
  if (report.target() == Target::kEmulatedCuda) return;
  ConvNeXtSpecification convnext;
  convnext.channels = 1;
  convnext.depths = {1, 1, 2, 1};
  convnext.dims = {16, 24, 32, 48};
  convnext.drop_path = 0.3;
  DinoVitSpecification vit;
  vit.embed_dim = 48;
  vit.depth = 2;
  vit.heads = 3;
  const Loss weighted = loss_of(Loss::Kind::kCrossEntropy, {1, 2, 3, 4});
  UperNetSpecification upernet;
  upernet.hidden = 32;
  upernet.auxiliary = 16;
  const ClassifierSpecification classifier{4, 16};
  const PyramidMaker on_volumes = [convnext] { return std::make_shared<ConvNeXtV2>(convnext); };
  const SliceMaker on_slices = [vit] { return std::make_shared<DinoVit>(vit); };
  const RecordedCase cases[] = {
      {"ConvNeXt and UperNet, dropping paths",
       EncoderSpecification{on_volumes, upernet},
       loss_of(Loss::Kind::kTversky),
       {3, 1, 32, 64, 64},
       {3, 1, 32, 64, 64}},
      {"ConvNeXt and classifier, class weights",
       EncoderSpecification{on_volumes, classifier},
       weighted,
       {4, 1, 32, 64, 64},
       {4}},
      {"classifier on kept features",
       EncoderSpecification{on_volumes, classifier},
       weighted,
       {4, 1, 32, 64, 64},
       {4},
       true},
      {"ViT and convolutional head",
       EncoderSpecification{on_slices, ConvHeadSpecification{}},
       loss_of(Loss::Kind::kL1),
       {2, 3, 4, 56, 56},
       {2, 1, 4, 56, 56}},
  };
  for (const RecordedCase& one : cases) {
    const Trained plain = trained(one, report.device(), false), again = trained(one, report.device(), false),
                  recorded = trained(one, report.device(), true);
    // Some of LibTorch's gradients add up in any order on CUDA: how much that alone makes out.
    report.compare("plain steps twice, weights, " + one.name, again.weights, plain.weights, 1e-3);
    report.compare("recorded steps, losses, " + one.name, recorded.readings, plain.readings, 1e-3);
    report.compare("recorded steps, weights, " + one.name, recorded.weights, plain.weights, 1e-3);
    const Trained said = answered(one, report.device(), false), played = answered(one, report.device(), true);
    report.compare("recorded answers, " + one.name, played.weights, said.weights, 1e-5);
    report.compare("volumes embedded, " + one.name, played.readings, said.readings, 0.0);
  }
}

}  // namespace transfer_limits::checks
