#include "models/transunet.h"

#include <string>

#include "layers/checkpointed.h"
#include "models/families.h"

namespace transfer_limits {
namespace {

ModelMaker read_transunet(const Settings& model) {
  TransUNetSpecification result{read_unet_specification(model)};
  result.depth = model.integer("depth", 1, 1000);
  result.heads = model.integer("heads", 1, 65536);
  const int64_t width = result.features << (result.levels - 1);
  require(width % result.heads == 0, "Expected heads that divide the ", width,
          " channels of the TransUNet's coarsest level but received ", result.heads);
  return {[result](int64_t outputs) {
            TransUNetSpecification own = result;
            own.outputs = outputs;
            return std::make_shared<TransUNet>(own);
          },
          result.outputs};
}

const ModelFamily transunet_family("transunet-3d", read_transunet);

}  // namespace

TransUNet::TransUNet(const TransUNetSpecification& specification) : UNet(specification) {
  // The tokens are as wide as the coarsest level.
  const int64_t width = specification.features << (specification.levels - 1);
  embed_ = register_module("embed", torch::nn::Linear(width, width));
  position_ = register_module("position", GridPosition(width));
  for (int64_t index = 0; index < specification.depth; ++index) {
    blocks_.push_back(
        register_module("block" + std::to_string(index), TransformerBlock(width, specification.heads)));
  }
  norm_ = register_module("norm", layer_norm_of(width));
  bridge_ = register_module("bridge", ResidualBlock(width, width));
}

at::Tensor TransUNet::at_coarsest(const at::Tensor& x) {
  const at::Tensor coarse = linear(x.movedim(1, -1), embed_).movedim(-1, 1);  // [N, E, d, h, w]
  at::Tensor tokens = position_(coarse);                                      // [N, d h w, E]
  for (auto& block : blocks_) tokens = checkpointed_block(block, tokens);
  const at::Tensor grid =
      layer_norm(tokens, norm_).transpose(1, 2).unflatten(2, x.sizes().slice(2));  // [N, E, d, h, w]
  return bridge_(grid.contiguous(at::MemoryFormat::ChannelsLast3d));
}

}  // namespace transfer_limits
