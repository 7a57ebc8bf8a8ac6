#pragma once

#include <napi.h>

#include <memory>
#include <string>

#include "models/settings.h"

namespace transfer_limits {

// What an object of JavaScript says by name, such as an encoder's specification: a network's own file takes from it what it
// knows. Throws BAD_INPUT for anything but an object, and for lists of what no specification holds.
std::shared_ptr<const Settings> read_settings(const Napi::Value& value, const std::string& name);

}  // namespace transfer_limits
