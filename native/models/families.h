#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "models/pyramid_encoder.h"
#include "models/settings.h"
#include "models/specification.h"

namespace transfer_limits {

// The families of encoders that say in their own file how they are called, what their specification holds, and how the
// network is made of it. A file registers its family by one object:
//
//   PyramidMaker read_resnet(const Settings& encoder) { ... }
//   const EncoderFamily resnet_family("resnet-3d", read_resnet);
class EncoderFamily {
 public:
  // Takes the settings apart, with their ranges, and says how the encoder is made; throws BAD_INPUT.
  using Reader = PyramidMaker (*)(const Settings& encoder);

  // `name` must live as long as the program: a literal. Registering allocates nothing, for it happens before anyone could
  // catch what it threw.
  EncoderFamily(const char* name, Reader read) noexcept;

  // Whether there is a family of that name.
  static bool exists(const std::string& name);
  // Throws BAD_INPUT where what is given is not what the family can have.
  static PyramidMaker read(const std::string& name, const Settings& encoder);
  // In alphabetical order.
  static std::vector<std::string> names();

 private:
  static const EncoderFamily* find(const std::string& name);

  const char* name_;
  Reader read_;
  const EncoderFamily* registered_before_;
};

}  // namespace transfer_limits
