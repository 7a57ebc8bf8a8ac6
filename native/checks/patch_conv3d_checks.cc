#include "checks/checks.h"
#include "layers/patch_conv3d.h"

namespace transfer_limits::checks {
namespace {

struct Case {
  std::vector<int64_t> size;  // [N, C, D, H, W]
  int64_t outputs;
  std::vector<int64_t> box;
};

// Boxes of one voxel, flat ones and cubes; lines of a few bytes, of whole vectors and longer than those; axes that boxes do not
// divide; batches; enough for oneDNN's product, and too little
const Case cases[] = {{{1, 1, 2, 2, 2}, 1, {1, 1, 1}},     {{2, 16, 3, 5, 7}, 3, {1, 1, 1}},
                      {{1, 48, 8, 12, 12}, 96, {1, 1, 1}}, {{1, 3, 9, 10, 11}, 8, {4, 4, 4}},
                      {{2, 8, 6, 7, 8}, 16, {2, 2, 2}},    {{1, 48, 8, 12, 13}, 96, {2, 2, 2}},
                      {{1, 5, 3, 8, 9}, 7, {1, 2, 3}},     {{3, 40, 2, 6, 4}, 24, {2, 3, 4}}};

at::Tensor exact(const at::Tensor& tensor) {
  return tensor.detach().to(at::kDouble).clone().requires_grad_();
}

// The answer, and the gradients of what it follows from, with a gradient of the answer that is the same for both.
std::vector<at::Tensor> with_gradients(const at::Tensor& answer, const std::vector<at::Tensor>& inputs,
                                       bool channels_last) {
  at::Tensor gradient = values(answer.sizes(), 9, answer.scalar_type());
  if (channels_last) gradient = gradient.contiguous(at::MemoryFormat::ChannelsLast3d);
  std::vector<at::Tensor> all = torch::autograd::grad({answer}, inputs, {gradient});
  all.insert(all.begin(), answer.detach());
  return all;
}

void compare(Report& report, const std::string& what, const std::vector<at::Tensor>& got,
             const std::vector<at::Tensor>& wanted) {
  const char* of[] = {", answer", ", gradient of x", ", gradient of the weight", ", gradient of the bias"};
  for (size_t index = 0; index < got.size(); ++index)
    report.compare(what + of[index], got[index], wanted[index], 1e-6);
}

}  // namespace

void check_patch_conv3d(Report& report) {
  if (report.target() != Target::kCpu) return;
  for (const Case& c : cases) {
    const std::vector<int64_t> tight(c.box);
    torch::nn::Conv3d layer(torch::nn::Conv3dOptions(c.size[1], c.outputs, {c.box[0], c.box[1], c.box[2]})
                                .stride({c.box[0], c.box[1], c.box[2]}));
    torch::nn::ConvTranspose3d spread(
        torch::nn::ConvTranspose3dOptions(c.size[1], c.outputs, {c.box[0], c.box[1], c.box[2]})
            .stride({c.box[0], c.box[1], c.box[2]})
            .bias(false));
    for (const at::Tensor& laid : layouts(values(c.size, 1, at::kFloat))) {
      for (const bool channels_last : {false, true}) {
        const at::Tensor x = laid.detach().requires_grad_();
        const at::Tensor exact_x = exact(x);
        const at::Tensor weight = exact(layer->weight), bias = exact(layer->bias);
        compare(report, "convolution without overlap",
                with_gradients(patch_conv3d(layer, x), {x, layer->weight, layer->bias}, channels_last),
                with_gradients(at::conv3d(exact_x, weight, bias, tight), {exact_x, weight, bias}, false));
        const at::Tensor up = exact(spread->weight);
        compare(report, "transposed convolution without overlap",
                with_gradients(spread_voxels(spread, x), {x, spread->weight}, channels_last),
                with_gradients(at::conv_transpose3d(exact_x, up, {}, tight), {exact_x, up}, false));
      }
    }
  }
}

}  // namespace transfer_limits::checks
