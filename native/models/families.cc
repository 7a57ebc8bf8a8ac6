#include "models/families.h"

#include <map>

namespace transfer_limits {
namespace {

// Made when the first family registers, which may be before this file's own objects are.
std::map<std::string, EncoderFamily::Reader>& registered_families() {
  static std::map<std::string, EncoderFamily::Reader> families;
  return families;
}

}  // namespace

EncoderFamily::EncoderFamily(const char* name, Reader read) { registered_families()[name] = read; }

bool EncoderFamily::exists(const std::string& name) { return registered_families().count(name) > 0; }

PyramidMaker EncoderFamily::read(const std::string& name, const Settings& encoder) {
  return registered_families().at(name)(encoder);
}

std::vector<std::string> EncoderFamily::names() {
  std::vector<std::string> result;
  for (const auto& [name, read] : registered_families()) result.push_back(name);
  return result;
}

}  // namespace transfer_limits
