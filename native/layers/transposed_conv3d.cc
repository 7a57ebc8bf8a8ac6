#include "layers/transposed_conv3d.h"

#include "error.h"

namespace transfer_limits {

at::Tensor spread_voxels(torch::nn::ConvTranspose3d& layer, const at::Tensor& x) {
  if (!x.device().is_cpu()) return layer(x);
  const at::Tensor& weight = layer->weight;  // [C, O, kd, kh, kw]
  require(weight.sizes().slice(2) == at::IntArrayRef(*layer->options.stride()) && !layer->bias.defined(),
          "Expected a transposed convolution of as large a stride as kernel without bias");
  const int64_t n = x.size(0), d = x.size(2), h = x.size(3), w = x.size(4);
  const int64_t outputs = weight.size(1), kd = weight.size(2), kh = weight.size(3), kw = weight.size(4);
  const at::Tensor matrix = weight.permute({2, 3, 4, 1, 0}).reshape({-1, weight.size(0)});  // [kd kh kw O, C]
  return at::linear(x.permute({0, 2, 3, 4, 1}), matrix)  // [N, D, H, W, kd kh kw O]
      .view({n, d, h, w, kd, kh, kw, outputs})
      .permute({0, 1, 4, 2, 5, 3, 6, 7})  // [N, D, kd, H, kh, W, kw, O]
      .reshape({n, d * kd, h * kh, w * kw, outputs})
      .permute({0, 4, 1, 2, 3});  // [N, O, D kd, H kh, W kw], channels-last
}

}  // namespace transfer_limits
