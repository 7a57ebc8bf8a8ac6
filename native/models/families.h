#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "models/network.h"
#include "models/settings.h"

namespace transfer_limits {

class PyramidEncoder;
class SliceEncoder;

// Makes an encoder with fresh weights, drawn from LibTorch's generator: one of volumes with feature maps, or one that goes
// slice by slice. Heads stand on either kind, whatever the family (models/heads.h).
using PyramidMaker = std::function<std::shared_ptr<PyramidEncoder>()>;
using SliceMaker = std::function<std::shared_ptr<SliceEncoder>()>;
using EncoderMaker = std::variant<PyramidMaker, SliceMaker>;

// Makes a network without an encoder, with fresh weights and so many outputs.
struct ModelMaker {
  std::function<std::shared_ptr<Network>(int64_t outputs)> make;
  int64_t outputs = 0;     // as specified
  bool takes_bins = true;  // it answers voxel by voxel with intensities, which may be bins of them
};

// Of a network and its specification, which says in `outputs` how many there are.
template <typename Model, typename Specification>
ModelMaker model_maker(const Specification& specification, int64_t Specification::* outputs,
                       bool takes_bins = true) {
  return {[specification, outputs](int64_t asked) {
            Specification own = specification;
            own.*outputs = asked;
            return std::make_shared<Model>(own);
          },
          specification.*outputs, takes_bins};
}

// A family of networks says in its own file how it is called, what its specification holds with the ranges of each number,
// and how the network is made of it. Nothing else lists it: its file has one object that registers it.
//
//   EncoderMaker read_resnet(const Settings& encoder) { ... }
//   const EncoderFamily resnet_family("resnet-3d", read_resnet);
template <typename Maker>
class Family {
 public:
  // Takes the settings apart; throws BAD_INPUT where they are not what the family can have.
  using Reader = Maker (*)(const Settings&);

  // `name` must live as long as the program: a literal. Registering allocates nothing, for it happens before anyone could
  // catch what it threw.
  Family(const char* name, Reader read) noexcept : name_(name), read_(read), registered_before_(last) {
    last = this;
  }

  // Reads the settings of the family that they name. Throws BAD_INPUT, which lists all that there are, for another.
  static Maker read(const Settings& settings) {
    const std::string name = settings.choice("family", names());
    const Family* family = last;
    while (name != family->name_) family = family->registered_before_;
    return family->read_(settings);
  }
  // In alphabetical order.
  static std::vector<std::string> names() {
    std::vector<std::string> result;
    for (const Family* family = last; family != nullptr; family = family->registered_before_)
      result.emplace_back(family->name_);
    std::sort(result.begin(), result.end());
    return result;
  }

 private:
  // Known before any object is made, and with it before any family registers.
  static inline constinit const Family* last = nullptr;

  const char* name_;
  Reader read_;
  const Family* registered_before_;
};

using EncoderFamily = Family<EncoderMaker>;
using ModelFamily = Family<ModelMaker>;

}  // namespace transfer_limits
