#pragma once

#include <array>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "models/pyramid_encoder.h"

namespace transfer_limits {

// What is known of one module of a TorchScript file beside its tensors. Mixed into the module that mirrors it here.
class ScriptSlots {
 public:
  virtual ~ScriptSlots() = default;

  // Whether it takes statistics from a batch while it trains.
  bool is_batch_norm() const { return is_batch_norm_; }
  // How random weights are drawn, by name of its own parameters: true by the module's rule, false by shuffling.
  const std::unordered_map<std::string, bool>& by_rule() const { return by_rule_; }

 protected:
  bool is_batch_norm_ = false;
  std::unordered_map<std::string, bool> by_rule_;
};

struct ScriptModule;

// A map that a TorchScript module returns.
struct ScriptStage {
  int64_t channels = 0;
  std::array<int64_t, 3> stride = {1, 1, 1};  // depth, height, width
};

struct TorchScriptSpecification {
  std::string file;                          // for messages
  std::shared_ptr<const std::string> bytes;  // of that file
  int64_t channels = 1;
  bool slices = false;  // it takes [N, C, H, W] in place of [N, C, D, H, W]
  int64_t features = 0;
  std::vector<ScriptStage> stages;
  bool drawn = false;  // weights are drawn anew
};

// An encoder that came as a TorchScript module. Its parameters and buffers are registered here under their own names, and are
// the very tensors that the module computes with; its submodules are mirrored, so that training mode reaches them.
//
// What it answers is checked at each call. Throws BAD_CHECKPOINT, with the file, where it fails or answers with something
// else than was declared, and NOT_FINITE where that is not finite.
class TorchScriptEncoder : public PyramidEncoder, public ScriptSlots {
 public:
  // Reads the module, which runs code of it. Throws BAD_CHECKPOINT for what is no such file, or holds no parameters.
  explicit TorchScriptEncoder(const TorchScriptSpecification& specification);
  ~TorchScriptEncoder() override;

  int64_t channels() const override { return specification_.channels; }
  int64_t stride() const override { return strides_[3]; }
  // The features stand last, where nothing but a classifier can take them, in a module without feature maps.
  std::array<int64_t, 4> widths() const override { return widths_; }
  // Of its feature maps those that come closest to the strides 4, 8, 16 and 16 or 32, brought to them. Throws BAD_INPUT where
  // none were declared.
  std::vector<at::Tensor> stages(const at::Tensor& input, const at::Tensor& keep = {}) override;

  // It has none where none were declared.
  void require_maps() const override;

  void train(bool on = true) override;
  void to(torch::Device device, bool non_blocking = false) override;

 private:
  Features encode(const at::Tensor& input) override;
  // What the module answers to a volume, checked: its maps as volumes [N, C, d, h, w] of the input's extent, or one tensor
  // [N, features].
  std::vector<at::Tensor> answer(const at::Tensor& input);
  std::vector<at::Tensor> brought(const std::vector<at::Tensor>& maps, const at::Tensor& input) const;
  // A declared map [M, C, ...], as a volume cropped to what of it belongs to the input.
  at::Tensor checked_map(const at::Tensor& map, const ScriptStage& stage, const at::Tensor& seen,
                         const at::Tensor& input) const;
  at::Tensor checked_features(const at::Tensor& answer, const at::Tensor& seen,
                              const at::Tensor& input) const;
  void require_finite(const at::Tensor& tensor) const;
  template <typename... Parts>
  void must(bool condition, const Parts&... parts) const;

  TorchScriptSpecification specification_;
  std::unique_ptr<ScriptModule> module_;
  std::array<int64_t, 3> multiple_ = {1, 1, 1};
  std::array<int64_t, 4> strides_ = {4, 8, 16, 16};
  std::array<int64_t, 4> widths_ = {};
  std::array<size_t, 4> chosen_ = {};  // of the declared maps, for each stride
};

}  // namespace transfer_limits
