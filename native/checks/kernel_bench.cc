// kernel_bench [cpu|cuda]: times every kernel beside LibTorch's own operations, in turn, and prints a table in Markdown.
#include <torch/cuda.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "error.h"
#include "kernels/depthwise_conv3d.h"
#include "kernels/mmd.h"
#include "kernels/ssim.h"
#include "layers/layer_norm.h"
#include "layers/precision.h"
#include "models/convnext_v2.h"
#include "modules.h"
#include "training/trainer.h"

namespace transfer_limits {
namespace {

constexpr int kRuns = 7;
constexpr double kMostMilliseconds = 1'500;  // of a contender: on a borrowed GPU minutes are few

struct Contender {
  std::string name;
  std::function<void()> work;
  std::vector<double> milliseconds = {};
  double spent = 0;  // on runs that count
};

void wait_for(const at::Device& device) {
  if (device.is_cuda()) torch::cuda::synchronize(device.index());
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::string first_line(const std::exception& error) {
  const std::string reason = error.what();
  return reason.substr(0, reason.find('\n'));
}

// Times the contenders in turn, after one run of each that does not count; the first is this project's. One that fails
// (memory, or no such kernel) is listed with the reason.
void compare(const std::string& what, const at::Device& device, std::vector<Contender> contenders) {
  for (int run = -1; run < kRuns; ++run) {
    for (Contender& contender : contenders) {
      if (!contender.work || contender.spent > kMostMilliseconds) continue;
      try {
        wait_for(device);
        const auto start = std::chrono::steady_clock::now();
        contender.work();
        wait_for(device);
        const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
        if (run < 0) continue;
        contender.milliseconds.push_back(took.count());
        contender.spent += took.count();
      } catch (const std::exception& error) {
        contender.name += " (" + first_line(error) + ")";
        contender.work = nullptr;
      }
    }
  }
  const double own = contenders[0].milliseconds.empty() ? NAN : median(contenders[0].milliseconds);
  for (const Contender& contender : contenders) {
    if (contender.milliseconds.empty()) {
      std::printf("| %s | %s | not measured | | |\n", what.c_str(), contender.name.c_str());
      continue;
    }
    const auto [least, most] =
        std::minmax_element(contender.milliseconds.begin(), contender.milliseconds.end());
    const double middle = median(contender.milliseconds);
    std::printf("| %s | %s | %.3f | %.3f to %.3f | %.2f |\n", what.c_str(), contender.name.c_str(), middle,
                *least, *most, middle / own);
  }
  std::fflush(stdout);
}

// Depthwise 7x7x7 as seven depthwise convolutions in two dimensions, one for each plane of taps.
at::Tensor by_planes(const at::Tensor& slices, const at::Tensor& weight, int64_t samples) {
  const int64_t depth = slices.size(0) / samples, channels = slices.size(1);
  at::Tensor out = at::zeros_like(slices);  // [N * D, C, H, W]
  for (int64_t plane = 0; plane < 7; ++plane) {
    const at::Tensor part = at::conv2d(slices, weight.select(2, plane), {}, 1, 3, 1, channels);
    const int64_t shift = plane - 3, kept = depth - std::abs(shift);
    if (kept <= 0) continue;
    const auto volume = [&](const at::Tensor& tensor) { return tensor.unflatten(0, {samples, depth}); };
    volume(out)
        .narrow(1, std::max<int64_t>(0, -shift), kept)
        .add_(volume(part).narrow(1, std::max<int64_t>(0, shift), kept));
  }
  return out;
}

// The gradient of the weight, a plane of taps after the other.
void weight_gradient_by_planes(const at::Tensor& gradient_slices, const at::Tensor& slices,
                               const at::Tensor& weight, int64_t samples) {
  const int64_t depth = slices.size(0) / samples, channels = slices.size(1);
  const at::OptionalIntArrayRef no_bias = std::nullopt;
  const auto kept_slices = [&](const at::Tensor& tensor, int64_t first, int64_t kept) {
    return tensor.unflatten(0, {samples, depth}).narrow(1, first, kept).flatten(0, 1);
  };
  for (int64_t plane = 0; plane < 7; ++plane) {
    const int64_t shift = plane - 3, kept = depth - std::abs(shift);
    if (kept <= 0) continue;
    at::convolution_backward(kept_slices(gradient_slices, std::max<int64_t>(0, -shift), kept),
                             kept_slices(slices, std::max<int64_t>(0, shift), kept), weight.select(2, plane),
                             no_bias, {1, 1}, {3, 3}, {1, 1}, false, {0, 0}, channels, {false, true, false});
  }
}

void depthwise(const at::Device& device, at::ScalarType type, at::IntArrayRef size) {
  const auto options = at::TensorOptions(device).dtype(type);
  const int64_t channels = size[1];
  const at::Tensor x = at::randn(size, options).contiguous(at::MemoryFormat::ChannelsLast3d);
  const at::Tensor gradient = at::randn(size, options).contiguous(at::MemoryFormat::ChannelsLast3d);
  const at::Tensor weight = at::randn({channels, 1, 7, 7, 7}, options) * 0.05;
  const at::Tensor dense = x.contiguous(), dense_gradient = gradient.contiguous();
  const auto slices_of = [&](const at::Tensor& volume) {
    return volume.permute({0, 2, 1, 3, 4})
        .reshape({size[0] * size[2], channels, size[3], size[4]})
        .contiguous(at::MemoryFormat::ChannelsLast);
  };
  const at::Tensor slices = slices_of(x), gradient_slices = slices_of(gradient);
  const auto forward = [weight, channels](const at::Tensor& input) {
    at::conv3d(input, weight, {}, 1, 3, 1, channels);
  };
  const auto backward = [weight, channels](const at::Tensor& out, const at::Tensor& input, bool to_input) {
    const at::OptionalIntArrayRef no_bias = std::nullopt;
    at::convolution_backward(out, input, weight, no_bias, {1, 1, 1}, {3, 3, 3}, {1, 1, 1}, false, {0, 0, 0},
                             channels, {to_input, !to_input, false});
  };
  const std::string name = std::string("depthwise 7x7x7, ") + at::toString(type) + ", ";
  compare(name + "forward", device,
          {{"transfer-limits", [=] { depthwise_conv3d(x, weight, {}); }},
           {"LibTorch, contiguous", [=] { forward(dense); }},
           {"LibTorch, channels-last", [=] { forward(x); }},
           {"seven convolutions in 2D", [=] { by_planes(slices, weight, size[0]); }}});
  compare(
      name + "input gradient", device,
      {{"transfer-limits", [=] { depthwise_conv3d_input_gradient(gradient, weight); }},
       {"LibTorch, contiguous", [=] { backward(dense_gradient, dense, true); }},
       {"LibTorch, channels-last", [=] { backward(gradient, x, true); }},
       {"seven convolutions in 2D", [=] { by_planes(gradient_slices, weight.flip({2, 3, 4}), size[0]); }}});
  compare(name + "weight gradient", device,
          {{"transfer-limits", [=] { depthwise_conv3d_weight_gradient(gradient, x, 7); }},
           {"LibTorch, contiguous", [=] { backward(dense_gradient, dense, false); }},
           {"LibTorch, channels-last", [=] { backward(gradient, x, false); }},
           {"seven convolutions in 2D",
            [=] { weight_gradient_by_planes(gradient_slices, slices, weight, size[0]); }}});
}

double by_matrix(const at::Tensor& a, const at::Tensor& b, double sigma) {
  const auto mean = [sigma](const at::Tensor& u, const at::Tensor& v) {
    return at::cdist(u, v).square_().mul_(-1.0 / (sigma * sigma)).exp_().mean();
  };
  return (mean(a, a) + mean(b, b) - 2.0 * mean(a, b)).item<double>();
}

void mmd(const at::Device& device, int64_t rows, bool with_peer) {
  const auto options = at::TensorOptions(device).dtype(at::kFloat);
  const at::Tensor a = at::randn({rows, 768}, options), b = at::randn({rows, 768}, options) + 0.1;
  const double sigma = 39.0;  // about the rows' distance
  std::vector<Contender> contenders;
  const auto add = [&](const char* name, Products products) {
    contenders.push_back({name, [=] { gaussian_kernel_sums(a, b, {sigma}, {}, products); }});
  };
  if (device.is_cuda()) add("transfer-limits, three-term bfloat16", Products::kThreeTermBfloat16);
  add("transfer-limits, float32", Products::kFloat32);
  if (device.is_cuda()) add("transfer-limits, bfloat16", Products::kBfloat16);
  if (with_peer) contenders.push_back({"cdist and exp, float32", [=] { by_matrix(a, b, sigma); }});
  compare("MMD, " + std::to_string(rows) + " and " + std::to_string(rows) + " rows of 768", device,
          contenders);
}

// SSIM as most do it: five products, each through three convolutions of one axis.
at::Tensor ssim_by_convolutions(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor at = at::arange(11, a.options()) - 5.0;
  at::Tensor taps = (at.square() / -4.5).exp();
  taps = taps / taps.sum();
  const auto filtered = [&taps](const at::Tensor& x) {
    at::Tensor y = at::conv3d(x, taps.view({1, 1, 11, 1, 1}));
    y = at::conv3d(y, taps.view({1, 1, 1, 11, 1}));
    return at::conv3d(y, taps.view({1, 1, 1, 1, 11}));
  };
  const at::Tensor ma = filtered(a), mb = filtered(b);
  const at::Tensor va = filtered(a * a) - ma * ma, vb = filtered(b * b) - mb * mb,
                   ab = filtered(a * b) - ma * mb;
  const double c1 = 1e-4, c2 = 9e-4;
  return ((2 * ma * mb + c1) * (2 * ab + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2))).mean();
}

void ssim(const at::Device& device) {
  const auto options = at::TensorOptions(device).dtype(at::kFloat);
  const at::Tensor a = at::rand({1, 1, 96, 200, 200}, options), b = (a + 0.1 * at::randn_like(a)).clamp(0, 1);
  const auto with_gradient = [](const at::Tensor& x,
                                const std::function<at::Tensor(const at::Tensor&)>& value) {
    const torch::AutoGradMode on(true);
    const at::Tensor leaf = x.detach().requires_grad_();
    torch::autograd::grad({value(leaf)}, {leaf});
  };
  compare("SSIM of 96x200x200, value and gradient", device,
          {{"transfer-limits",
            [=] { with_gradient(a, [b](const at::Tensor& x) { return ssim3d(x, b, 1.0).mean(); }); }},
           {"convolutions, float32",
            [=] { with_gradient(a, [b](const at::Tensor& x) { return ssim_by_convolutions(x, b); }); }}});
}

// A norm under autocast whose answer goes into a product, there and back.
void layer_norms(const at::Device& device, int64_t rows, int64_t features) {
  const torch::AutoGradMode on(true);
  const Autocast autocast(Precision::kBFloat16, device);
  const auto leaf = [&](at::IntArrayRef size, at::ScalarType type) {
    return at::randn(size, at::TensorOptions(device).dtype(type)).requires_grad_();
  };
  const at::Tensor x = leaf({rows, features}, at::kBFloat16), weight = leaf({features}, at::kFloat),
                   bias = leaf({features}, at::kFloat);
  const at::Tensor gradient = at::randn({rows, features}, at::TensorOptions(device).dtype(at::kBFloat16));
  const auto back = [=](const at::Tensor& answer) {
    torch::autograd::grad({answer}, {x, weight, bias}, {gradient});
  };
  compare("layer norm of " + std::to_string(rows) + " rows of " + std::to_string(features) +
              " in bfloat16, and its gradients",
          device,
          {{"transfer-limits", [=] { back(layer_norm_operand(x, weight, bias)); }},
           {"LibTorch, under autocast", [=] {
              back(at::layer_norm(x, {features}, weight, bias, kLayerNormEpsilon).to(at::kBFloat16));
            }}});
}

// A step as `Trainer` takes it: forward, loss, backward, clipping, AdamW. The published network's in PyTorch is timed by
// bench/peers.
void training_step(const at::Device& device, at::IntArrayRef size, const std::vector<Precision>& precisions) {
  const torch::AutoGradMode on(true);
  const at::Tensor x = at::randn(size, device), target = at::randn({size[0], 768}, device);
  std::vector<Contender> contenders;
  const auto add = [&](Precision precision, bool recorded) {
    const std::shared_ptr<Network> network = std::make_shared<ConvNeXtV2>(ConvNeXtSpecification());
    network->to(device);
    TrainerOptions options;
    options.gradient_clip = 1.0;
    options.precision = precision;
    options.cuda_graphs = recorded;
    const auto trainer = std::make_shared<Trainer>(network, options);
    // The first run, which does not count, takes the plain steps before the recorded one.
    const auto step = [=, plain = recorded ? StepRecorder::kPlainSteps : 0]() mutable {
      for (; plain > 0; --plain) trainer->step(x, target, std::nullopt, 1e-4, 0);
      trainer->step(x, target, std::nullopt, 1e-4, 0);
    };
    contenders.push_back({std::string("transfer-limits, ") +
                              (precision == Precision::kBFloat16 ? "bfloat16" : "float32") +
                              (recorded ? ", CUDA graph" : ""),
                          step});
  };
  for (const Precision precision : precisions) {
    add(precision, false);
    if (device.is_cuda()) add(precision, true);
  }
  std::ostringstream what;
  what << "ConvNeXt V2 Tiny, training step, " << size;
  compare(what.str(), device, contenders);
}

// What cannot be set up is a line with the reason; the rest goes on.
void section(const std::string& what, const std::function<void()>& work) {
  try {
    work();
  } catch (const std::exception& error) {
    std::printf("| %s | not measured: %s | | | |\n", what.c_str(), first_line(error).c_str());
  }
}

void run(const at::Device& device) {
  const torch::NoGradGuard no_grad;
  std::printf("| work | by | median, ms | range, ms | times ours |\n|---|---|---|---|---|\n");
  const auto steps = [&](std::vector<int64_t> size, const std::vector<Precision>& precisions) {
    section("ConvNeXt V2 Tiny, training step", [&] { training_step(device, size, precisions); });
  };
  const auto distances = [&](int64_t rows, bool with_peer) {
    section("MMD", [&] { mmd(device, rows, with_peer); });
  };
  const auto convolution = [&](at::ScalarType type, std::vector<int64_t> size) {
    section("depthwise 7x7x7", [&] { depthwise(device, type, size); });
  };
  if (device.is_cuda()) {
    section("layer norm", [&] { layer_norms(device, 240'000, 96); });
    section("layer norm", [&] { layer_norms(device, 33'000, 384); });
    convolution(at::kBFloat16, {4, 96, 24, 50, 50});
    convolution(at::kFloat, {4, 96, 24, 50, 50});
    distances(10000, true);
    distances(100000, false);
    steps({4, 3, 96, 200, 200}, {Precision::kBFloat16, Precision::kFloat32});
    steps({1, 3, 64, 96, 96}, {Precision::kBFloat16, Precision::kFloat32});
  } else {
    convolution(at::kFloat, {1, 96, 16, 56, 56});
    distances(4000, true);
    steps({1, 3, 64, 96, 96}, {Precision::kFloat32, Precision::kBFloat16});
  }
  section("SSIM", [&] { ssim(device); });
}

}  // namespace
}  // namespace transfer_limits

int main(int count, char** arguments) {
  try {
    const std::string name = count > 1 ? arguments[1] : "cpu";
    transfer_limits::require(name == "cpu" || name == "cuda", "Expected cpu or cuda but received ", name);
    transfer_limits::require(name == "cpu" || torch::cuda::is_available(),
                             "Expected a CUDA device but this machine, or this build, has none");
    transfer_limits::run(name == "cpu" ? at::Device(at::kCPU) : at::Device(at::kCUDA, 0));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
