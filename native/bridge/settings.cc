#include "bridge/settings.h"

#include <map>
#include <utility>
#include <vector>

#include "bridge/arguments.h"

namespace transfer_limits {
namespace {

// What stands deeper than any specification goes is left out, and with it what holds itself.
constexpr int kDeepest = 8;

std::shared_ptr<const Settings> settings_of(const Napi::Object& object, const std::string& name, int depth);

bool is_plain_object(const Napi::Value& value) {
  return value.IsObject() && !value.IsArray() && !value.IsFunction() && !value.IsTypedArray();
}

// Objects in a list.
std::vector<std::shared_ptr<const Settings>> sections_of(const Napi::Array& array, const std::string& name,
                                                         int depth) {
  std::vector<std::shared_ptr<const Settings>> result;
  for (uint32_t index = 0; index < array.Length(); ++index) {
    const std::string of_item = name + "[" + std::to_string(index) + "]";
    result.push_back(settings_of(object(array.Get(index), of_item), of_item, depth + 1));
  }
  return result;
}

// Numbers, or lists of numbers, in a list.
std::vector<std::vector<double>> lists_of(const Napi::Array& array, const std::string& name) {
  std::vector<std::vector<double>> result;
  for (uint32_t index = 0; index < array.Length(); ++index) {
    const Napi::Value item = array.Get(index);
    const std::string of_item = name + "[" + std::to_string(index) + "]";
    if (item.IsArray()) {
      result.push_back(numbers(item, of_item));
    } else {
      result.push_back({number(item, of_item)});
    }
  }
  return result;
}

std::shared_ptr<const std::string> bytes_of(const Napi::Uint8Array& array) {
  return std::make_shared<const std::string>(reinterpret_cast<const char*>(array.Data()), array.ByteLength());
}

Settings::Value setting_of(const Napi::Value& value, const std::string& name, int depth) {
  std::string shown = describe(value);
  if (value.IsNumber()) return {value.As<Napi::Number>().DoubleValue(), std::move(shown)};
  if (value.IsBoolean()) return {value.As<Napi::Boolean>().Value(), std::move(shown)};
  if (value.IsString()) return {value.As<Napi::String>().Utf8Value(), std::move(shown)};
  if (value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array)
    return {bytes_of(value.As<Napi::Uint8Array>()), std::move(shown)};
  if (depth >= kDeepest) return {{}, std::move(shown)};
  if (value.IsArray()) {
    const auto array = value.As<Napi::Array>();
    if (array.Length() > 0 && is_plain_object(array.Get(uint32_t(0))))
      return {sections_of(array, name, depth), std::move(shown)};
    return {lists_of(array, name), std::move(shown)};
  }
  if (is_plain_object(value))
    return {settings_of(value.As<Napi::Object>(), name, depth + 1), std::move(shown)};
  return {{}, std::move(shown)};
}

std::shared_ptr<const Settings> settings_of(const Napi::Object& object, const std::string& name, int depth) {
  std::map<std::string, Settings::Value> values;
  const std::string prefix = name + ".";
  const Napi::Array keys = object.GetPropertyNames();
  for (uint32_t index = 0; index < keys.Length(); ++index) {
    const std::string key = keys.Get(index).ToString().Utf8Value();
    const Napi::Value value = object.Get(key);
    if (!value.IsUndefined()) values.emplace(key, setting_of(value, prefix + key, depth));
  }
  return std::make_shared<const Settings>(name, std::move(values));
}

}  // namespace

std::shared_ptr<const Settings> read_settings(const Napi::Value& value, const std::string& name) {
  return settings_of(object(value, name), name, 0);
}

}  // namespace transfer_limits
