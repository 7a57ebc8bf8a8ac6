#include <string>

#include "checks/checks.h"
#include "kernels/group_norm.h"

namespace transfer_limits::checks {
namespace {

struct NormCase {
  std::vector<int64_t> size;  // [N, C, D, H, W]
  int64_t groups;
  bool affine, residual;
  AfterNorm activation;
  double offset = 0;
};

struct Results {
  at::Tensor y;
  GroupNormGradients to;
};

Results computed(const Report& report, const NormCase& c, const at::Tensor& x, const at::Tensor& weight,
                 const at::Tensor& bias, const at::Tensor& residual, const at::Tensor& gradient) {
  const bool emulated = report.target() == Target::kEmulatedCuda;
  const auto forward = emulated ? &cuda::group_norm_activated : &group_norm_activated;
  const auto backward = emulated ? &cuda::group_norm_backward : &group_norm_backward;
  const auto [y, statistics] = forward(x, c.groups, weight, bias, residual, c.activation);
  return {y, backward(gradient, x, y, statistics, c.groups, weight, bias, c.residual, c.activation)};
}

// The definition in float64, by LibTorch's operations; its gradients by LibTorch's autograd.
Results exact(const NormCase& c, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
              const at::Tensor& residual, const at::Tensor& gradient) {
  const auto leaf = [](const at::Tensor& tensor) {
    return tensor.defined() ? tensor.cpu().to(at::kDouble).requires_grad_() : tensor;
  };
  const at::Tensor in = leaf(x), by = leaf(weight), plus = leaf(bias), beside = leaf(residual);
  at::Tensor y = at::group_norm(in, c.groups, by, plus, kNormEpsilon);
  if (beside.defined()) y = y + beside;
  if (c.activation == AfterNorm::kLeakyRelu) y = at::leaky_relu(y, kLeakySlope);
  if (c.activation == AfterNorm::kSilu) y = at::silu(y);
  std::vector<at::Tensor> wanted{in};
  for (const at::Tensor* one : {&by, &plus, &beside}) {
    if (one->defined()) wanted.push_back(*one);
  }
  const auto found = torch::autograd::grad({y}, wanted, {gradient.cpu().to(at::kDouble)});
  Results result{y.detach(), {found[0], {}, {}, {}}};
  if (by.defined()) {
    result.to.weight = found[1];
    result.to.bias = found[2];
  }
  if (beside.defined()) result.to.residual = found.back();
  return result;
}

}  // namespace

void check_group_norm(Report& report) {
  // One channel, channels that fill no load, one, several blocks of them; one voxel, less than a block's, several parts;
  // groups of one channel and of several; far from 0
  const NormCase cases[] = {{{2, 1, 3, 5, 7}, 1, true, false, AfterNorm::kSilu},
                            {{2, 8, 9, 11, 13}, 8, false, true, AfterNorm::kLeakyRelu},
                            {{1, 24, 7, 9, 30}, 24, true, true, AfterNorm::kLeakyRelu},
                            {{3, 30, 5, 7, 3}, 10, true, false, AfterNorm::kSilu},
                            {{1, 320, 3, 4, 5}, 32, true, false, AfterNorm::kNone},
                            {{2, 300, 1, 3, 2}, 300, false, true, AfterNorm::kNone},
                            {{1, 2056, 1, 2, 3}, 8, true, false, AfterNorm::kLeakyRelu},
                            {{2, 16, 4, 30, 70}, 4, true, false, AfterNorm::kSilu},
                            {{2, 16, 1, 1, 1}, 4, true, true, AfterNorm::kNone},
                            {{1, 8, 6, 7, 8}, 8, true, false, AfterNorm::kNone, 100}};
  const auto last = at::MemoryFormat::ChannelsLast3d;
  for (const NormCase& c : cases) {
    const std::vector<int64_t> channels{c.size[1]};
    const at::Tensor x = values(c.size, 1, at::kFloat).mul_(2).add_(c.offset);
    const at::Tensor weight = c.affine ? values(channels, 2, at::kFloat).add_(1) : at::Tensor();
    const at::Tensor bias = c.affine ? values(channels, 3, at::kFloat) : at::Tensor();
    const at::Tensor residual = c.residual ? values(c.size, 4, at::kFloat) : at::Tensor();
    const at::Tensor gradient = values(c.size, 5, at::kFloat);
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      if (type == at::kBFloat16 && report.target() == Target::kCpu) continue;
      const auto own = [&](const at::Tensor& tensor) {
        if (!tensor.defined()) return tensor;
        return tensor.to(report.device(), tensor.dim() == 5 ? type : at::kFloat);
      };
      for (const bool shifted : {false, true}) {
        const auto laid = [&](const at::Tensor& tensor) {
          if (!tensor.defined()) return tensor;
          const at::Tensor moved = own(tensor);
          if (!shifted) return moved.contiguous(last);
          // Dense, but behind an odd address
          at::Tensor room = at::empty({moved.numel() + 1}, moved.options());
          const at::Tensor rows = moved.permute({0, 2, 3, 4, 1});
          room.slice(0, 1).copy_(rows.reshape({-1}));
          return room.slice(0, 1).view(rows.sizes()).permute({0, 4, 1, 2, 3});
        };
        const at::Tensor in = laid(x), beside = laid(residual), incoming = laid(gradient);
        const Results got = computed(report, c, in, own(weight), own(bias), beside, incoming);
        const Results wanted = exact(c, in, weight, bias, beside, incoming);
        const std::string kind = type == at::kFloat ? "group norm, " : "group norm in bfloat16, ";
        // What is stored in bfloat16 is rounded to 2^-9; a leaky ReLU's slope follows from such an answer.
        const double stored = type == at::kFloat ? 2e-6 : 4e-3, summed = type == at::kFloat ? 5e-6 : 8e-3;
        report.compare(kind + "answer", got.y.to(at::kFloat), wanted.y, stored);
        // Added to 1: of one voxel a channel it is 0 but for the epsilon.
        report.compare(kind + "gradient of x", got.to.x.to(at::kFloat) + 1, wanted.to.x + 1, summed);
        if (c.affine) {
          report.compare(kind + "gradient of the weight", got.to.weight + 1, wanted.to.weight + 1, summed);
          report.compare(kind + "gradient of the bias", got.to.bias, wanted.to.bias, summed);
        }
        if (c.residual) {
          report.compare(kind + "gradient of the residual", got.to.residual.to(at::kFloat),
                         wanted.to.residual, summed);
        }
      }
    }
  }
}

}  // namespace transfer_limits::checks
