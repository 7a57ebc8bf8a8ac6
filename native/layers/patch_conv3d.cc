#include "layers/patch_conv3d.h"

#include "error.h"
#include "kernels/voxel_boxes.h"
#include "layers/linear.h"

namespace transfer_limits {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;
using torch::autograd::Variable;

Box box_of(at::IntArrayRef sizes) { return {sizes[0], sizes[1], sizes[2]}; }

// One way between a volume and its boxes, whose gradient goes the other way.
template <at::Tensor (*there)(const at::Tensor&, const Box&),
          at::Tensor (*back)(const at::Tensor&, const Box&)>
class Rearranged : public torch::autograd::Function<Rearranged<there, back>> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const std::vector<int64_t>& box) {
    context->saved_data["box"] = box;
    return there(x, box_of(box));
  }
  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    return {back(gradients[0], box_of(context->saved_data["box"].toIntVector())), Variable()};
  }
};
using BoxesOfVoxels = Rearranged<&boxes_of_voxels, &voxels_of_boxes>;
using VoxelsOfBoxes = Rearranged<&voxels_of_boxes, &boxes_of_voxels>;

// [N, D, H, W, C] in one piece: a view of a channels-last volume.
at::Tensor voxels_last(const at::Tensor& x) { return x.permute({0, 2, 3, 4, 1}).contiguous(); }

// Whatever else comes is LibTorch's to compute or to refuse.
bool is_product(const at::Tensor& x, const at::Tensor& weight) {
  return takes_linear_product(x) && weight.scalar_type() == at::kFloat && x.dim() == 5 && x.numel() > 0 &&
         x.size(1) == weight.size(1) && x.size(2) >= weight.size(2) && x.size(3) >= weight.size(3) &&
         x.size(4) >= weight.size(4);
}

}  // namespace

at::Tensor patch_conv3d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const at::IntArrayRef box = weight.sizes().slice(2);  // weight: [O, C, kd, kh, kw]
  if (!is_product(x, weight)) return at::conv3d(x, weight, bias, /*stride=*/box);
  const bool pointwise = box[0] == 1 && box[1] == 1 && box[2] == 1;
  const at::Tensor matrix = weight.permute({0, 2, 3, 4, 1}).reshape({weight.size(0), -1});  // [O, kd kh kw C]
  at::Tensor rows;  // [N, D / kd, H / kh, W / kw, kd kh kw C]
  if (pointwise) {
    rows = voxels_last(x);
  } else {
    at::Tensor whole = x;
    for (int64_t axis = 0; axis < 3; ++axis) {
      const int64_t size = x.size(axis + 2), rest = size % box[axis];
      if (rest > 0) whole = whole.narrow(axis + 2, 0, size - rest);
    }
    rows = BoxesOfVoxels::apply(whole, box.vec());
  }
  return linear(rows, matrix, bias)
      .permute({0, 4, 1, 2, 3});  // [N, O, D / kd, H / kh, W / kw], channels-last
}

at::Tensor patch_conv3d(torch::nn::Conv3d& layer, const at::Tensor& x) {
  return patch_conv3d(x, layer->weight, layer->bias);
}

at::Tensor spread_voxels(const at::Tensor& x, const at::Tensor& weight) {
  const at::IntArrayRef box = weight.sizes().slice(2);
  if (!x.device().is_cpu()) return at::conv_transpose3d(x, weight, {}, /*stride=*/box);
  const at::Tensor matrix = weight.permute({2, 3, 4, 1, 0}).reshape({-1, weight.size(0)});  // [kd kh kw O, C]
  const at::Tensor boxes = linear(voxels_last(x), matrix);  // [N, D, H, W, kd kh kw O]
  return VoxelsOfBoxes::apply(boxes, box.vec());            // [N, O, D kd, H kh, W kw], channels-last
}

at::Tensor spread_voxels(torch::nn::ConvTranspose3d& layer, const at::Tensor& x) {
  require(
      layer->weight.sizes().slice(2) == at::IntArrayRef(*layer->options.stride()) && !layer->bias.defined(),
      "Expected a transposed convolution of as large a stride as kernel without bias");
  return spread_voxels(x, layer->weight);
}

}  // namespace transfer_limits
