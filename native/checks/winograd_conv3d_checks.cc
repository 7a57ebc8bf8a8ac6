#include "checks/checks.h"
#include "kernels/winograd_conv3d.h"

namespace transfer_limits::checks {

void check_winograd_conv3d(Report& report) {
  if (report.target() != Target::kCpu) return;
  const at::Tensor usual =
      values({1, 8, 16, 16, 16}, 1, at::kFloat).contiguous(at::MemoryFormat::ChannelsLast3d);
  if (!has_winograd_conv3d(usual, values({8, 8, 3, 3, 3}, 2, at::kFloat)))
    return;  // a processor without AVX2
  struct Case {
    std::vector<int64_t> size;  // [N, C, D, H, W]
    int64_t outputs;
  };
  // Vectors of channels by one, two and three, and of 16 and 8 values; one tile, tiles that lie on the edge in part, blocks
  // with a rest, several groups of the weight's gradient; flat axes
  const Case cases[] = {{{1, 8, 2, 2, 2}, 8},      {{2, 8, 3, 5, 7}, 16},    {{1, 16, 4, 4, 4}, 24},
                        {{1, 24, 5, 9, 11}, 40},   {{3, 16, 1, 6, 8}, 16},   {{1, 32, 7, 20, 23}, 32},
                        {{2, 48, 16, 18, 20}, 16}, {{1, 16, 24, 30, 31}, 8}, {{1, 160, 2, 4, 6}, 128},
                        {{1, 6, 2, 2, 2}, 6},      {{2, 12, 5, 7, 6}, 6},    {{1, 5, 8, 9, 10}, 13},
                        {{2, 21, 6, 7, 8}, 30},    {{1, 63, 4, 6, 5}, 33}};
  for (const Case& c : cases) {
    const at::Tensor x = values(c.size, 1, at::kFloat);
    const at::Tensor weight = values({c.outputs, c.size[1], 3, 3, 3}, 2, at::kFloat);
    const at::Tensor gradient =
        values({c.size[0], c.outputs, c.size[2], c.size[3], c.size[4]}, 3, at::kFloat);
    const at::Tensor exact_x = x.to(at::kDouble).requires_grad_();
    const at::Tensor exact_weight = weight.to(at::kDouble).requires_grad_();
    const at::Tensor y = at::conv3d(exact_x, exact_weight, {}, /*stride=*/1, /*padding=*/1);
    const auto wanted = torch::autograd::grad({y}, {exact_x, exact_weight}, {gradient.to(at::kDouble)});
    for (const auto layout : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast3d}) {
      const at::Tensor in = x.contiguous(layout), back = gradient.contiguous(layout);
      report.compare("Winograd's convolution, answer", winograd_conv3d(in, weight), y.detach(), 3e-6);
      report.compare("Winograd's convolution, gradient of x", winograd_conv3d_input_gradient(back, weight),
                     wanted[0], 3e-6);
      report.compare("Winograd's convolution, gradient of the weight",
                     winograd_conv3d_weight_gradient(back, in), wanted[1], 3e-6);
    }
  }
}

}  // namespace transfer_limits::checks
