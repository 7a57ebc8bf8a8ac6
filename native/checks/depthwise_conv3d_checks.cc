#include "checks/checks.h"
#include "kernels/depthwise_conv3d.h"

namespace transfer_limits::checks {
namespace {

struct ConvolutionFunctions {
  at::Tensor (*forward)(const at::Tensor&, const at::Tensor&, const at::Tensor&);
  at::Tensor (*input_gradient)(const at::Tensor&, const at::Tensor&);
  std::pair<at::Tensor, at::Tensor> (*weight_gradient)(const at::Tensor&, const at::Tensor&, int64_t);
};

ConvolutionFunctions convolution_functions(Target target) {
  if (target == Target::kEmulatedCuda) {
    return {&cuda::depthwise_conv3d, &cuda::depthwise_conv3d_input_gradient,
            &cuda::depthwise_conv3d_weight_gradient};
  }
  return {&depthwise_conv3d, &depthwise_conv3d_input_gradient, &depthwise_conv3d_weight_gradient};
}

std::string named_convolution(const char* what, at::ScalarType type) {
  return std::string("depthwise 7x7x7, ") + what + ", " + at::toString(type);
}

}  // namespace

void check_depthwise_conv3d(Report& report) {
  const ConvolutionFunctions own = convolution_functions(report.target());
  // [N, C, D, H, W]: odd sizes, fewer voxels than taps, more boxes than one, channels that fill no vector
  const std::vector<std::vector<int64_t>> sizes = {{1, 1, 1, 1, 1},  {2, 3, 2, 5, 4},    {1, 8, 3, 7, 11},
                                                   {2, 40, 5, 6, 9}, {1, 17, 9, 19, 23}, {1, 33, 2, 12, 27}};
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const double tolerance = type == at::kFloat ? 2e-6 : 4e-3;  // half a unit in the last place of a bfloat16
    for (const std::vector<int64_t>& size : sizes) {
      const at::Tensor x = values(size, 1, type), gradient = values(size, 2, type);
      const at::Tensor weight = values({size[1], 1, 7, 7, 7}, 3, type), bias = values({size[1]}, 4, type);
      // The reference: LibTorch's convolution and its derivatives, of the same values in float64.
      at::Tensor rx = x.to(at::kDouble).requires_grad_(), rw = weight.to(at::kDouble).requires_grad_(),
                 rb = bias.to(at::kDouble).requires_grad_();
      const at::Tensor out = at::conv3d(rx, rw, rb, 1, 3, 1, size[1]);
      const auto wanted = torch::autograd::grad({out}, {rx, rw, rb}, {gradient.to(at::kDouble)});
      const at::Tensor w = weight.to(report.device()), b = bias.to(report.device());
      const auto gradients = layouts(gradient.to(report.device()));
      size_t layout = 0;
      for (const at::Tensor& volume : layouts(x.to(report.device()))) {
        report.compare(named_convolution("forward", type), own.forward(volume, w, b), out.detach(),
                       tolerance);
        report.compare(named_convolution("forward without bias", type), own.forward(volume, w, {}),
                       (out - rb.view({1, -1, 1, 1, 1})).detach(), tolerance);
        const at::Tensor& g = gradients[layout++];
        report.compare(named_convolution("input gradient", type), own.input_gradient(g, w), wanted[0],
                       tolerance);
        const auto [to_weight, to_bias] = own.weight_gradient(g, volume, 7);
        report.compare(named_convolution("weight gradient", type), to_weight, wanted[1], tolerance);
        report.compare(named_convolution("bias gradient", type), to_bias, wanted[2], tolerance);
      }
    }
  }
}

}  // namespace transfer_limits::checks
