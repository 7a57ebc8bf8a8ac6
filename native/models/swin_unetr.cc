#include <cmath>
#include <string>

#include "layers/container.h"
#include "layers/layer_norm.h"
#include "layers/linear.h"
#include "layers/padding.h"
#include "layers/patch_conv3d.h"
#include "models/families.h"
#include "models/pyramid_encoder.h"

namespace transfer_limits {
namespace {

using Extents = std::array<int64_t, 3>;

struct SwinShape {
  int64_t channels = 1;
  int64_t features = 48;  // of a token after the first embedding
  std::array<int64_t, 4> depths = {2, 2, 2, 2};
  std::array<int64_t, 4> heads = {3, 6, 12, 24};
  int64_t window = 7;
  bool repeats_corners = false;  // where patches are merged, as MONAI did until 1.3
};

// The window of a grid of tokens, and by how much it is shifted: a grid that is no longer than a window is one.
struct WindowOfGrid {
  Extents edge, shift;

  WindowOfGrid(const Extents& grid, int64_t window, bool shifted) {
    for (size_t axis = 0; axis < 3; ++axis) {
      const bool whole = grid[axis] <= window;
      edge[axis] = whole ? grid[axis] : window;
      shift[axis] = whole || !shifted ? 0 : window / 2;
    }
  }
  bool moves() const { return shift != Extents{0, 0, 0}; }
};

Extents extents(const at::Tensor& tokens) { return {tokens.size(1), tokens.size(2), tokens.size(3)}; }

// [N, D, H, W, C] -> [N * windows, tokens of a window, C]
at::Tensor into_windows(const at::Tensor& x, const Extents& edge) {
  const int64_t features = x.size(4);
  return x
      .reshape({x.size(0), x.size(1) / edge[0], edge[0], x.size(2) / edge[1], edge[1], x.size(3) / edge[2],
                edge[2], features})
      .permute({0, 1, 3, 5, 2, 4, 6, 7})
      .reshape({-1, edge[0] * edge[1] * edge[2], features});
}

// What `into_windows` takes apart, of a grid of these sizes.
at::Tensor from_windows(const at::Tensor& windows, const Extents& edge, const Extents& grid) {
  const int64_t features = windows.size(2);
  return windows
      .reshape(
          {-1, grid[0] / edge[0], grid[1] / edge[1], grid[2] / edge[2], edge[0], edge[1], edge[2], features})
      .permute({0, 1, 4, 2, 5, 3, 6, 7})
      .reshape({-1, grid[0], grid[1], grid[2], features});
}

// What is added to the attention of a shifted grid's windows [windows, tokens, tokens]: -100 between tokens that were not
// side by side before the shift.
at::Tensor apart(const Extents& grid, const WindowOfGrid& window, const at::TensorOptions& options) {
  at::Tensor region = at::zeros({1, grid[0], grid[1], grid[2], 1}, options);
  for (size_t axis = 0; axis < 3; ++axis) {
    if (window.shift[axis] == 0) continue;
    at::Tensor along = at::zeros({grid[axis]}, options);
    along.narrow(0, grid[axis] - window.edge[axis], window.edge[axis]).fill_(1);
    along.narrow(0, grid[axis] - window.shift[axis], window.shift[axis]).fill_(2);
    std::vector<int64_t> shape(5, 1);
    shape[axis + 1] = grid[axis];
    region = 3 * region + along.reshape(shape);
  }
  const at::Tensor regions = into_windows(region, window.edge).squeeze(-1);  // [windows, tokens]
  return at::where(regions.unsqueeze(1) == regions.unsqueeze(2), 0.0, -100.0).to(options.dtype());
}

torch::nn::LayerNorm swin_norm(int64_t features) { return layer_norm_of(features, /*epsilon=*/1e-5); }

torch::nn::Linear drawn_linear(int64_t in, int64_t out, bool bias = true) {
  torch::nn::Linear layer(torch::nn::LinearOptions(in, out).bias(bias));
  torch::nn::init::normal_(layer->weight, 0.0, 0.02);
  if (bias) torch::nn::init::zeros_(layer->bias);
  return layer;
}

// Attention between the tokens of a window, with a bias for each offset (Liu 2021).
class SwinAttentionImpl : public torch::nn::Module {
 public:
  SwinAttentionImpl(int64_t features, int64_t heads, int64_t window) : heads_(heads) {
    const int64_t offsets = 2 * window - 1;
    table_ = register_parameter("relative_position_bias_table",
                                0.02 * torch::randn({offsets * offsets * offsets, heads}));
    const at::Tensor axis = at::arange(window, at::kLong);
    const at::Tensor places = at::stack(at::meshgrid({axis, axis, axis}, "ij")).flatten(1);  // [3, tokens]
    const at::Tensor steps = places.unsqueeze(2) - places.unsqueeze(1) + (window - 1);  // [3, tokens, tokens]
    offset_ = (steps[0] * offsets + steps[1]) * offsets + steps[2];
    qkv_ = register_module("qkv", drawn_linear(features, 3 * features));
    proj_ = register_module("proj", drawn_linear(features, features));
  }

  // x: [windows of all samples, tokens, C]; mask: [windows, tokens, tokens] or undefined
  at::Tensor forward(const at::Tensor& x, const at::Tensor& mask) {
    const int64_t windows = x.size(0), tokens = x.size(1), features = x.size(2);
    const std::vector<at::Tensor> parts =
        linear(x, qkv_)
            .reshape({windows, tokens, 3, heads_, features / heads_})
            .permute({2, 0, 3, 1, 4})  // [3, windows, heads, tokens, C / heads]
            .unbind(0);
    // A smaller window than the table's takes its first rows, as the published code does.
    const at::Tensor offset =
        offset_.narrow(0, 0, tokens).narrow(1, 0, tokens).reshape({-1}).to(table_.device());
    const at::Tensor bias =
        table_.index_select(0, offset).reshape({tokens, tokens, heads_}).permute({2, 0, 1});
    const int64_t of_head = features / heads_;
    const double scale = 1.0 / std::sqrt(double(of_head));
    at::Tensor scores = at::matmul(parts[0] * scale, parts[1].transpose(-2, -1)) + bias.unsqueeze(0);
    if (mask.defined()) {
      const int64_t of_sample = mask.size(0);
      scores = (scores.reshape({windows / of_sample, of_sample, heads_, tokens, tokens}) +
                mask.unsqueeze(1).unsqueeze(0))
                   .reshape({windows, heads_, tokens, tokens});
    }
    const at::Tensor seen = at::matmul(at::softmax(scores, -1).to(parts[2].scalar_type()), parts[2]);
    return linear(seen.transpose(1, 2).reshape({windows, tokens, features}), proj_);
  }

 private:
  int64_t heads_;
  at::Tensor table_, offset_;
  torch::nn::Linear qkv_ = nullptr, proj_ = nullptr;
};
TORCH_MODULE(SwinAttention);

// A pre-norm block of windowed attention over a grid of tokens [N, D, H, W, C].
class SwinBlockImpl : public torch::nn::Module {
 public:
  SwinBlockImpl(int64_t features, int64_t heads, int64_t window, bool shifted)
      : window_(window),
        shifted_(shifted),
        norm1_(register_module("norm1", swin_norm(features))),
        attn_(register_module("attn", SwinAttention(features, heads, window))),
        norm2_(register_module("norm2", swin_norm(features))) {
    auto mlp = register_module("mlp", container());
    linear1_ = mlp->register_module("linear1", drawn_linear(features, 4 * features));
    linear2_ = mlp->register_module("linear2", drawn_linear(4 * features, features));
  }

  at::Tensor forward(const at::Tensor& x) {
    const at::Tensor y = x + attended(layer_norm_operand(x, norm1_));
    return y + linear(linear_gelu(layer_norm_operand(y, norm2_), linear1_), linear2_);
  }

 private:
  at::Tensor attended(const at::Tensor& x) {
    const Extents grid = extents(x);
    const WindowOfGrid window(grid, window_, shifted_);
    Extents whole{};
    for (size_t axis = 0; axis < 3; ++axis) {
      whole[axis] = (grid[axis] + window.edge[axis] - 1) / window.edge[axis] * window.edge[axis];
    }
    at::Tensor y = x;
    if (whole != grid) {
      y = at::constant_pad_nd(y, {0, 0, 0, whole[2] - grid[2], 0, whole[1] - grid[1], 0, whole[0] - grid[0]});
    }
    const Extents& shift = window.shift;
    at::Tensor mask;
    if (window.moves()) {
      y = at::roll(y, {-shift[0], -shift[1], -shift[2]}, {1, 2, 3});
      mask = apart(whole, window, y.options().requires_grad(false));
    }
    y = from_windows(attn_(into_windows(y, window.edge), mask), window.edge, whole);
    if (window.moves()) y = at::roll(y, shift, {1, 2, 3});
    for (size_t axis = 0; axis < 3; ++axis) y = y.narrow(int64_t(axis) + 1, 0, grid[axis]);
    return y;
  }

  int64_t window_;
  bool shifted_;
  torch::nn::LayerNorm norm1_;
  SwinAttention attn_;
  torch::nn::LayerNorm norm2_;
  torch::nn::Linear linear1_ = nullptr, linear2_ = nullptr;
};
TORCH_MODULE(SwinBlock);

// Tokens of the corners of each 2x2x2 side by side, in the order in which MONAI takes them: an axis a digit.
constexpr std::array<Extents, 8> kCorners = {
    {{0, 0, 0}, {1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {1, 1, 0}, {1, 0, 1}, {0, 1, 1}, {1, 1, 1}}};
constexpr std::array<Extents, 8> kRepeatedCorners = {
    {{0, 0, 0}, {1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {1, 0, 1}, {0, 1, 0}, {0, 0, 1}, {1, 1, 1}}};

// The encoder of Swin UNETR (Hatamizadeh 2022) as MONAI has it: patches of 2x2x2, four stages of windowed attention, after
// each of which 2x2x2 tokens are merged. The pyramid is what leaves the stages, each voxel's features normalised.
class SwinUnetrEncoder : public PyramidEncoder {
 public:
  explicit SwinUnetrEncoder(const SwinShape& shape) : shape_(shape) {
    auto embed = register_module("patch_embed", container());
    embed_ = embed->register_module(
        "proj", torch::nn::Conv3d(torch::nn::Conv3dOptions(shape.channels, shape.features, 2).stride(2)));
    for (size_t stage = 0; stage < 4; ++stage) {
      auto layer = register_module("layers" + std::to_string(stage + 1), container())
                       ->register_module("0", container());
      auto blocks = layer->register_module("blocks", container());
      const int64_t features = shape.features << stage;
      for (int64_t index = 0; index < shape.depths[stage]; ++index) {
        blocks_[stage].push_back(blocks->register_module(
            std::to_string(index), SwinBlock(features, shape.heads[stage], shape.window, index % 2 == 1)));
      }
      auto merging = layer->register_module("downsample", container());
      reduction_[stage] =
          merging->register_module("reduction", drawn_linear(8 * features, 2 * features, /*bias=*/false));
      merged_norm_[stage] = merging->register_module("norm", swin_norm(8 * features));
    }
  }

  int64_t channels() const override { return shape_.channels; }
  int64_t stride() const override { return 32; }
  std::array<int64_t, 4> widths() const override {
    return {2 * shape_.features, 4 * shape_.features, 8 * shape_.features, 16 * shape_.features};
  }

  std::vector<at::Tensor> stages(const at::Tensor& input, const at::Tensor& keep) override {
    require(input.dim() == 5 && input.size(1) == shape_.channels && input.numel() > 0,
            "Expected an input [N, ", shape_.channels, ", D, H, W] for the Swin UNETR but received ",
            input.sizes());
    at::Tensor x =
        keep.defined() ? input * at::upsample_nearest3d(keep, input.sizes().slice(2)) : at::Tensor(input);
    x = at::constant_pad_nd(x, {0, x.size(4) % 2, 0, x.size(3) % 2, 0, x.size(2) % 2});
    x = patch_conv3d(embed_, x).movedim(1, -1);  // [N, D / 2, H / 2, W / 2, features]
    std::vector<at::Tensor> result;
    for (size_t stage = 0; stage < 4; ++stage) {
      for (SwinBlock& block : blocks_[stage]) x = block(x);
      x = merged(x, stage);  // [N, D / stride, H / stride, W / stride, 2 * features]
      result.push_back(at::layer_norm(x, {x.size(4)}).movedim(-1, 1));
    }
    return result;
  }

 private:
  at::Tensor merged(const at::Tensor& x, size_t stage) {
    const at::Tensor even =
        at::constant_pad_nd(x, {0, 0, 0, x.size(3) % 2, 0, x.size(2) % 2, 0, x.size(1) % 2});
    std::vector<at::Tensor> corners;
    for (const Extents& at : shape_.repeats_corners ? kRepeatedCorners : kCorners) {
      at::Tensor corner = even;
      for (size_t axis = 0; axis < 3; ++axis) {
        corner = corner.slice(int64_t(axis) + 1, at[axis], even.size(int64_t(axis) + 1), 2);
      }
      corners.push_back(corner);
    }
    return reduction_[stage](layer_norm_operand(at::cat(corners, -1), merged_norm_[stage]));
  }

  SwinShape shape_;
  torch::nn::Conv3d embed_ = nullptr;
  std::array<std::vector<SwinBlock>, 4> blocks_;
  std::array<torch::nn::Linear, 4> reduction_ = {nullptr, nullptr, nullptr, nullptr};
  std::array<torch::nn::LayerNorm, 4> merged_norm_ = {nullptr, nullptr, nullptr, nullptr};
};

EncoderMaker read_swin_unetr(const Settings& encoder) {
  SwinShape shape;
  shape.channels = encoder.integer("channels", 1, 4096);
  shape.features = encoder.integer("features", 1, 4096);
  shape.depths = encoder.integers<4>("depths", 1, 1000);
  shape.heads = encoder.integers<4>("heads", 1, 65536);
  shape.window = encoder.integer_or("window", 7, 1, 64);
  shape.repeats_corners = encoder.word("merging", {"complete", "repeated"}) == "repeated";
  for (size_t stage = 0; stage < 4; ++stage) {
    require((shape.features << stage) % shape.heads[stage] == 0, "Expected heads that divide the ",
            shape.features << stage, " features of stage ", stage + 1, " for ", encoder.named("heads"),
            " but received ", shape.heads[stage]);
  }
  return [shape] { return std::make_shared<SwinUnetrEncoder>(shape); };
}

const EncoderFamily swin_unetr_family("swin-unetr-3d", read_swin_unetr);

}  // namespace
}  // namespace transfer_limits
