// Whole networks: every encoder under every head, and those without an encoder. Each is built twice with the same weights,
// and answers and gradients are compared with those of the CPU.
#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "checks/checks.h"
#include "layers/numerics.h"
#include "models/convnext_v2.h"
#include "models/diffusion_unet.h"
#include "models/dino_vit.h"
#include "models/resnet.h"
#include "models/specification.h"
#include "models/transunet.h"
#include "models/vit.h"
#include "training/network_loss.h"

namespace transfer_limits::checks {
namespace {

// What is asked of a network that is shown an input: a few answers, whose gradients are then taken together.
using Question = std::function<std::vector<at::Tensor>(Network&, const at::Tensor&)>;

std::vector<at::Tensor> answered(Network& network, const at::Tensor& input) {
  return {network.forward(input)};
}

// A loss is a mean: times what it is the mean over, its gradients are about as large as those of the answer.
at::Tensor weighed(const at::Tensor& loss, const at::Tensor& over) {
  return (loss * double(over.numel())).unsqueeze(0);
}

at::Tensor mask_of(at::IntArrayRef size, const at::Tensor& like) {
  return values(size, 3, at::kFloat).gt(0).to(like.options());
}

// UperNet's auxiliary head speaks in its loss alone.
std::vector<at::Tensor> with_auxiliary_head(Network& network, const at::Tensor& input) {
  const at::Tensor answer = network.forward(input);
  Loss loss;
  loss.kind = Loss::Kind::kTversky;
  return {
      answer,
      weighed(network_loss(network, input, mask_of(answer.sizes(), input), std::nullopt, loss, 0.4), answer)};
}

// What lies behind masked patches is hidden in its loss alone.
std::vector<at::Tensor> with_masked_patches(Network& network, const at::Tensor& input) {
  const at::Tensor answer = network.forward(input);
  Loss loss;
  loss.kind = Loss::Kind::kMaskedAutoencoder;
  const at::Tensor mask = mask_of({answer.size(0), answer[0][0].numel()}, input);
  return {answer, weighed(network_loss(network, input, mask, std::nullopt, loss, 0.0), answer)};
}

// The contrastive head stands beside the dense one, on the tokens of patches.
std::vector<at::Tensor> with_prototypes(Network& network, const at::Tensor& input) {
  const at::Tensor slices = input.movedim(2, 1).flatten(0, 1);  // [N D, C, H, W]
  const at::Tensor index = at::arange(slices.size(0), input.options());
  const Features features =
      network.embed_slices(slices, at::stack({index, at::full_like(index, double(slices.size(0)))}, 1));
  return {network.forward(input), network.project(features.tokens->patches.flatten(0, 1))};
}

struct NetworkCase {
  std::string name;
  NetworkSpecification specification;
  std::vector<int64_t> input;
  // ReLU after a norm without channels' biases, or maxima: where a unit stands may hang on rounding.
  bool kinks = false;
  Question question = answered;
  std::optional<IntensityBins> bins = std::nullopt;
};

// How a network is run. Weights and input are the same, whatever they are computed in.
struct Way {
  std::string name;
  at::Device device;
  Precision precision = Precision::kFloat32;
  at::ScalarType type = at::kFloat;
  bool to_input = true;
};

struct Evaluated {
  std::vector<at::Tensor> answers;
  at::Tensor to_input;                                            // undefined where it was not asked for
  std::vector<std::pair<std::string, at::Tensor>> to_parameters;  // undefined where nothing depends on it
};

// Half of a batch norm's channels far above zero and half far below: the ReLU behind it lets through or stops, but seldom
// stands where rounding decides.
template <typename Norm>
void keep_from_zero(torch::nn::Module& module, uint64_t seed) {
  const auto* norm = module.as<Norm>();
  if (norm == nullptr) return;
  norm->bias.copy_(values(norm->bias.sizes(), seed, at::kFloat).sign().mul_(3));
}

// A layer that is drawn as zeros, or so that it changes nothing, would hide what stands before it.
void disturb(Network& network) {
  const torch::NoGradGuard no_grad;
  uint64_t seed = 1000;
  for (at::Tensor& parameter : network.parameters()) {
    parameter.add_(values(parameter.sizes(), ++seed, at::kFloat), 0.05);
  }
  for (const std::shared_ptr<torch::nn::Module>& module : network.modules()) {
    keep_from_zero<torch::nn::BatchNorm1dImpl>(*module, ++seed);
    keep_from_zero<torch::nn::BatchNorm2dImpl>(*module, ++seed);
    keep_from_zero<torch::nn::BatchNorm3dImpl>(*module, ++seed);
  }
}

Evaluated evaluated(const NetworkCase& one, const Way& way) {
  const torch::AutoGradMode on(true);
  const Tf32 tf32(way.precision);
  torch::manual_seed(7);
  const std::shared_ptr<Network> network = build_network(one.specification, one.bins);
  disturb(*network);
  network->to(way.device, way.type);
  network->train();
  const at::Tensor input =
      values(one.input, 1, at::kFloat).to(way.device, way.type).requires_grad_(way.to_input);
  Evaluated result;
  at::Tensor sum;
  {
    const Autocast autocast(way.precision, way.device);
    result.answers = one.question(*network, input);
  }
  uint64_t seed = 10;
  for (at::Tensor& answer : result.answers) {
    answer = in_float32(answer);
    const at::Tensor weights = values(answer.sizes(), ++seed, at::kFloat).to(answer.options());
    const at::Tensor part = (answer * weights).sum();
    sum = sum.defined() ? sum + part : part;
    answer = answer.detach().cpu();
  }
  std::vector<at::Tensor> leaves = network->parameters();
  if (way.to_input) leaves.push_back(input);
  std::vector<at::Tensor> gradients =
      torch::autograd::grad({sum}, leaves, {}, /*retain_graph=*/false, /*create_graph=*/false,
                            /*allow_unused=*/true);
  for (at::Tensor& gradient : gradients) {
    if (gradient.defined()) gradient = gradient.cpu();
  }
  if (way.to_input) {
    result.to_input = gradients.back();
    gradients.pop_back();
  }
  for (const auto& named : network->named_parameters()) {
    result.to_parameters.emplace_back(named.key(), gradients[result.to_parameters.size()]);
  }
  return result;
}

// The largest relative errors that are right.
struct Tolerance {
  double answer = 0;
  double gradient = 0;
  // The gradient of a parameter that is less than this part of the gradient of all is mostly rounding, as that of a bias
  // before a norm is nothing else: its error is held against this part.
  double least = 0;
};

double squares_of(const at::Tensor& gradient) {
  return gradient.defined() ? gradient.to(at::kDouble).square().sum().item<double>() : 0.0;
}

// The gradient of each parameter by itself: of one vector the largest would hide the others.
void compare_parameters(Report& report, const std::string& name, const Evaluated& own,
                        const Evaluated& wanted, const Tolerance& tolerance) {
  double squares = 0, worst = 0;
  for (const auto& [parameter, gradient] : wanted.to_parameters) squares += squares_of(gradient);
  if (!(squares > 0)) return report.fail(name + ": no gradient at all");
  int64_t wrong = 0;
  std::string worst_parameter;
  for (size_t index = 0; index < wanted.to_parameters.size(); ++index) {
    const auto& [parameter, gradient] = wanted.to_parameters[index];
    const at::Tensor& found = own.to_parameters[index].second;
    if (!found.defined() && !gradient.defined()) continue;  // the answers say nothing of it
    double error = INFINITY;
    if (found.defined() && gradient.defined()) {
      error =
          std::sqrt(squares_of(found.to(at::kDouble) - gradient.to(at::kDouble)) /
                    std::max({squares_of(gradient), tolerance.least * tolerance.least * squares, 1e-300}));
    }
    if (error <= tolerance.gradient) {
      report.judge(name + ", gradients of parameters", error, tolerance.gradient);
      continue;
    }
    ++wrong;
    if (worst_parameter.empty() || !(error <= worst)) {
      worst = error;
      worst_parameter = parameter;
    }
  }
  if (wrong == 0) return;
  report.judge(
      name + ", gradients of " + std::to_string(wrong) + " parameters, the worst of " + worst_parameter,
      worst, tolerance.gradient);
}

void compare(Report& report, const std::string& name, const Evaluated& own, const Evaluated& wanted,
             const Tolerance& tolerance) {
  if (own.answers.size() != wanted.answers.size()) return report.fail(name + ": another number of answers");
  for (size_t index = 0; index < wanted.answers.size(); ++index) {
    report.compare(name, own.answers[index], wanted.answers[index], tolerance.answer);
  }
  if (own.to_input.defined() && wanted.to_input.defined()) {
    report.compare(name + ", gradient of the input", own.to_input, wanted.to_input, tolerance.gradient);
  }
  compare_parameters(report, name, own, wanted, tolerance);
}

// Deterministic algorithms while it lives.
class Deterministically {
 public:
  Deterministically() { set_deterministic(true); }
  ~Deterministically() { set_deterministic(false); }
  Deterministically(const Deterministically&) = delete;
  Deterministically& operator=(const Deterministically&) = delete;
};

// Of a small network on a CPU with AVX-512, against float64: float32 is off by at most 4e-6 in answers and 1e-3 in
// gradients (a maximum that another voxel gets; 3e-5 elsewhere); bfloat16 by 2e-2 and 5e-2, and by 4e-2 and 0.35 in
// networks with kinks, where rounding decides which units answer.
Tolerance tolerance_of(const NetworkCase& one, Precision precision) {
  switch (precision) {
    case Precision::kFloat32:
      return {1e-4, 1e-2, 1e-3};
    case Precision::kTf32:  // an eighth of bfloat16's rounding
      return one.kinks ? Tolerance{3e-2, 0.3, 1e-2} : Tolerance{1e-2, 5e-2, 1e-2};
    case Precision::kBFloat16:
      return one.kinks ? Tolerance{8e-2, 0.5, 1e-2} : Tolerance{4e-2, 0.15, 1e-2};
  }
  return {};
}

// On a GPU as studies train, deterministically: the gradients of parameters, twice to the bit. Then in LibTorch's own order
// of sums, with the gradient of the input, for which it has no deterministic algorithm where volumes are padded.
void compare_ways(Report& report, const NetworkCase& one, at::ScalarType reference) {
  const bool cuda = report.target() == Target::kCuda;
  const Evaluated wanted = evaluated(one, {"reference", at::kCPU, Precision::kFloat32, reference});
  std::vector<Way> ways = {{"float32", report.device(), Precision::kFloat32},
                           {"bfloat16", report.device(), Precision::kBFloat16}};
  if (cuda) ways.push_back({"tf32", report.device(), Precision::kTf32});
  for (Way& way : ways) {
    const std::string name = one.name + ", " + way.name;
    const Tolerance tolerance = tolerance_of(one, way.precision);
    if (cuda) {
      const Deterministically deterministically;
      way.to_input = false;
      const Evaluated first = evaluated(one, way);
      compare(report, name + ", deterministic", first, wanted, tolerance);
      compare(report, name + ", once more to the bit", evaluated(one, way), first, {});
      way.to_input = true;
    }
    const Evaluated own = evaluated(one, way);
    compare(report, name, own, wanted, tolerance);
    if (!cuda && way.precision == Precision::kFloat32) {
      compare(report, name + ", once more to the bit", evaluated(one, way), own, {});
    }
  }
}

void check_all(Report& report, const std::vector<NetworkCase>& cases, at::ScalarType reference) {
  settle_numerics();
  for (const NetworkCase& one : cases) {
    try {
      compare_ways(report, one, reference);
    } catch (const std::exception& error) {  // the others are compared all the same
      report.fail(one.name + ": " + error.what());
    }
    report.print();  // what was compared is said, whatever becomes of the rest
  }
}

PyramidMaker convnext(const ConvNeXtSpecification& encoder) {
  return [encoder] { return std::make_shared<ConvNeXtV2>(encoder); };
}

SliceMaker vit(const DinoVitSpecification& encoder) {
  return [encoder] { return std::make_shared<DinoVit>(encoder); };
}

PyramidMaker small_convnext() {
  ConvNeXtSpecification encoder;
  encoder.depths = {1, 1, 2, 1};
  encoder.dims = {16, 24, 32, 48};
  return convnext(encoder);
}

PyramidMaker small_resnet() {
  ResNetShape shape;
  shape.features = 8;
  shape.blocks = {1, 1, 2, 1};
  return [shape] { return std::make_shared<ResNetEncoder>(shape); };
}

SliceMaker small_vit() {
  DinoVitSpecification encoder;
  encoder.embed_dim = 48;
  encoder.depth = 4;
  encoder.heads = 3;
  return vit(encoder);
}

NetworkSpecification unet(const UNetSpecification& model) {
  return model_maker<UNet>(model, &UNetSpecification::outputs);
}

// Two blocks of four heads at the coarsest of three levels.
NetworkSpecification small_transunet(bool doubles_depth) {
  TransUNetSpecification model{{3, 1, 4, 3, doubles_depth}, 2, 4};
  return ModelMaker{[model](int64_t /*outputs*/) { return std::make_shared<TransUNet>(model); }, 1};
}

NetworkSpecification vit_of_volumes(const VitSpecification& model) {
  return model_maker<Vit>(model, &VitSpecification::outputs);
}

void add_heads_of_volumes(std::vector<NetworkCase>& cases, const std::string& name,
                          const PyramidMaker& encoder, bool kinks, const std::vector<int64_t>& size) {
  const auto add = [&](const std::string& head, const HeadSpecification& specification, bool own_kinks,
                       const Question& question = answered,
                       const std::optional<IntensityBins>& bins = std::nullopt) {
    cases.push_back({name + head, EncoderSpecification{encoder, specification}, size, kinks || own_kinks,
                     question, bins});
  };
  const UperNetSpecification upernet{1, 32, 16};
  add(" alone", std::monostate(), false);
  add(" and classifier", ClassifierSpecification{4, 16}, false);
  add(" and UperNet", upernet, false, with_auxiliary_head);
  add(" and UperNet of bins", upernet, false, answered, IntensityBins{16, 0.0, 1.0, true});
  add(" and UNETR", UnetrSpecification{1, 4, false}, true);
  add(" and subpixel head", UnetrSpecification{1, 4, true}, true);
  add(" and masked autoencoder", MaskedAutoencoderSpecification{16, 32, 1}, false, with_masked_patches);
}

std::vector<NetworkCase> small_cases() {
  // Of volumes, no axis is a multiple of what networks divide it by; batch norm has some to look at.
  const std::vector<int64_t> volumes{4, 3, 14, 40, 36};
  std::vector<NetworkCase> cases;
  add_heads_of_volumes(cases, "ConvNeXt", small_convnext(), /*kinks=*/false, volumes);
  add_heads_of_volumes(cases, "ResNet", small_resnet(), /*kinks=*/true, volumes);
  const auto add = [&](const std::string& head, const HeadSpecification& specification, bool kinks,
                       const std::optional<IntensityBins>& bins = std::nullopt) {
    cases.push_back({"ViT" + head,
                     EncoderSpecification{small_vit(), specification},
                     {2, 1, 5, 50, 44},
                     kinks,
                     answered,
                     bins});
  };
  add(" alone", std::monostate(), false);
  add(" and classifier", ClassifierSpecification{4, 16}, false);
  add(" and convolutional head", ConvHeadSpecification{1, 8}, false);
  add(" and convolutional head of bins", ConvHeadSpecification{1, 8}, false, IntensityBins{});
  add(" and UNETR", UnetrSpecification{1, 4, false}, true);
  add(" and subpixel head", UnetrSpecification{1, 4, true}, true);
  cases.push_back({"ViT and contrastive head",
                   EncoderSpecification{small_vit(), ContrastiveSpecification{{1, 8}, 64, 32, 128}},
                   {2, 3, 4, 56, 42},
                   false,
                   with_prototypes});
  cases.push_back({"U-Net", unet({3, 1, 4, 3, false}), volumes, true});
  cases.push_back({"U-Net that doubles depth", unet({3, 1, 4, 3, true}), volumes, true});
  cases.push_back({"TransUNet", small_transunet(false), volumes, true});
  cases.push_back({"TransUNet that doubles depth", small_transunet(true), volumes, true});
  cases.push_back({"ViT of volumes", vit_of_volumes({3, 1, {8, 16, 16}, 48, 2, 4}), volumes});
  cases.push_back({"diffusion U-Net",
                   model_maker<DiffusionUNet>(DiffusionUNetSpecification{3, 1, 8, 3},
                                              &DiffusionUNetSpecification::outputs),
                   volumes});
  cases.push_back(
      {"ResNet of classes",
       model_maker<ResNet>(ResNetSpecification{3, 4, 8, {1, 1, 2, 1}}, &ResNetSpecification::classes),
       volumes, true});
  return cases;
}

// The published sizes on the paper's volumes. The TransUNet and the diffusion U-Net are left out: a step of theirs takes
// a CPU 40 GB and minutes.
std::vector<NetworkCase> paper_cases() {
  const auto volumes = [](int64_t batch, int64_t channels) {
    return std::vector<int64_t>{batch, channels, 96, 200, 200};
  };
  UNetSpecification largest_unet;
  largest_unet.levels = 5;
  return {
      {"ProFound and UperNet at the paper's size", EncoderSpecification{convnext({}), UperNetSpecification{}},
       volumes(1, 3), false, with_auxiliary_head},
      {"ProViCNet and convolutional head at the paper's size",
       EncoderSpecification{vit({}), ConvHeadSpecification{}}, volumes(1, 1), true},
      {"U-Net at the paper's size", unet(largest_unet), volumes(1, 2), true},
      {"ViT of volumes at the paper's size", vit_of_volumes({}), volumes(1, 2)},
      {"ProFound and classifier at the paper's size",
       EncoderSpecification{convnext({}), ClassifierSpecification{}}, volumes(2, 3)},
  };
}

}  // namespace

void check_networks(Report& report) {
  if (report.target() == Target::kEmulatedCuda) return;  // whole networks choose their kernels by the device
  check_all(report, small_cases(), at::kDouble);
}

void check_paper_size(Report& report) {
  if (report.target() != Target::kCuda) return;  // a minute of many cores
  check_all(report, paper_cases(), at::kFloat);
}

}  // namespace transfer_limits::checks
