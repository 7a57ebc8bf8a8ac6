#include "models/families.h"

#include <algorithm>

#include "error.h"

namespace transfer_limits {
namespace {

// Known before any object is made, and with it before any family registers.
constinit const EncoderFamily* registered_last = nullptr;

}  // namespace

EncoderFamily::EncoderFamily(const char* name, Reader read) noexcept
    : name_(name), read_(read), registered_before_(registered_last) {
  registered_last = this;
}

const EncoderFamily* EncoderFamily::find(const std::string& name) {
  const EncoderFamily* family = registered_last;
  while (family != nullptr && name != family->name_) family = family->registered_before_;
  return family;
}

bool EncoderFamily::exists(const std::string& name) { return find(name) != nullptr; }

PyramidMaker EncoderFamily::read(const std::string& name, const Settings& encoder) {
  const EncoderFamily* family = find(name);
  require(family != nullptr, "Expected a family of encoders but received ", name);
  return family->read_(encoder);
}

std::vector<std::string> EncoderFamily::names() {
  std::vector<std::string> result;
  for (const EncoderFamily* family = registered_last; family != nullptr; family = family->registered_before_)
    result.emplace_back(family->name_);
  std::sort(result.begin(), result.end());
  return result;
}

}  // namespace transfer_limits
