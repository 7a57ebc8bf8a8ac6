#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace transfer_limits {

// An error with one of the stable codes of src/common/errors.ts. The bridge hands code and message to JavaScript;
// anything else that is thrown reaches JavaScript as INTERNAL.
class Error : public std::runtime_error {
 public:
  Error(std::string code, const std::string& message) : std::runtime_error(message), code_(std::move(code)) {}
  const std::string& code() const { return code_; }

 private:
  std::string code_;
};

// Throws BAD_INPUT with the parts joined into one message, unless `condition` holds.
template <typename... Parts>
void require(bool condition, const Parts&... parts) {
  if (condition) return;
  std::ostringstream message;
  (message << ... << parts);
  throw Error("BAD_INPUT", message.str());
}

}  // namespace transfer_limits
