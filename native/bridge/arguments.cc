#include "bridge/arguments.h"

#include <torch/cuda.h>

#include <cmath>

#include "bridge/handles.h"

namespace transfer_limits {
namespace {

[[noreturn]] void unexpected(const std::string& what, const std::string& name, const Napi::Value& value) {
  throw Error("BAD_INPUT", "Expected " + what + " for " + name + " but received " + describe(value));
}

std::string object_name(const Napi::Value& value) {
  try {
    const Napi::Value constructor = value.As<Napi::Object>().Get("constructor");
    if (!constructor.IsFunction()) return "Object";
    const Napi::Value name = constructor.As<Napi::Object>().Get("name");
    const std::string text = name.IsString() ? name.As<Napi::String>().Utf8Value() : "";
    return text.empty() ? "Object" : text.substr(0, 80);
  } catch (const Napi::Error&) {  // a property that throws when it is read
    return "Object";
  }
}

template <typename Item, typename Read>
std::vector<Item> list(const Napi::Value& value, const std::string& name, Read read) {
  if (!value.IsArray()) unexpected("an array", name, value);
  const auto array = value.As<Napi::Array>();
  std::vector<Item> result;
  result.reserve(array.Length());
  for (uint32_t index = 0; index < array.Length(); ++index) {
    result.push_back(read(Napi::Value(array[index]), name + "[" + std::to_string(index) + "]"));
  }
  return result;
}

}  // namespace

std::string describe(const Napi::Value& value) {
  if (value.IsEmpty() || value.IsUndefined()) return "undefined";
  if (value.IsString()) {
    const std::string text = value.As<Napi::String>().Utf8Value();
    return text.size() > 80 ? "a string of " + std::to_string(text.size()) + " bytes" : '"' + text + '"';
  }
  if (value.IsNull() || value.IsBoolean() || value.IsNumber()) return value.ToString().Utf8Value();
  if (value.IsArray()) return "an array of length " + std::to_string(value.As<Napi::Array>().Length());
  if (value.IsFunction()) return "a function";
  if (value.IsSymbol()) return "a symbol";
  if (value.IsBigInt()) return "a bigint";
  return "an object of type " + object_name(value);
}

void require_type(const at::Tensor& tensor, const std::string& name,
                  std::initializer_list<at::ScalarType> types) {
  if (std::find(types.begin(), types.end(), tensor.scalar_type()) != types.end()) return;
  std::ostringstream message;
  message << "Expected ";
  for (const at::ScalarType type : types)
    message << (type == *types.begin() ? "" : " or ") << dtype_name(type);
  message << " for " << name << " but received " << dtype_name(tensor.scalar_type()) << " " << tensor.sizes();
  throw Error("BAD_INPUT", message.str());
}

std::string dtype_name(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return "float32";
    case at::kDouble:
      return "float64";
    case at::kLong:
      return "int64";
    case at::kByte:
      return "uint8";
    default:
      throw Error("INTERNAL", std::string("A tensor of type ") + at::toString(type) + " has no name here");
  }
}

torch::Device device_named(const std::string& name) {
  if (name == "cpu") return {torch::kCPU};
  const bool cuda = name == "cuda" || (name.rfind("cuda:", 0) == 0 && name.size() > 5 && name.size() < 8 &&
                                       name.find_first_not_of("0123456789", 5) == std::string::npos);
  if (!cuda) throw Error("BAD_INPUT", "Expected cpu, cuda or cuda:<number> for device but received " + name);
  if (!torch::cuda::is_available()) {
    throw Error(
        "BAD_INPUT",
        "Expected a device of this machine but received " + name +
            ": this build, or this machine, has no CUDA. Use cpu, or see what the command doctor says");
  }
  const torch::Device device(name == "cuda" ? "cuda:0" : name);
  require(device.index() < torch::cuda::device_count(), "Expected a CUDA device below ",
          torch::cuda::device_count(), " for device but received ", name);
  return device;
}

Napi::Array to_array(Napi::Env env, const std::vector<int64_t>& values) {
  auto array = Napi::Array::New(env, values.size());
  for (size_t index = 0; index < values.size(); ++index) array.Set(uint32_t(index), double(values[index]));
  return array;
}

Napi::Array to_array(Napi::Env env, const std::vector<double>& values) {
  auto array = Napi::Array::New(env, values.size());
  for (size_t index = 0; index < values.size(); ++index) array.Set(uint32_t(index), values[index]);
  return array;
}

double number(const Napi::Value& value, const std::string& name) {
  if (!value.IsNumber()) unexpected("a number", name, value);
  return value.As<Napi::Number>().DoubleValue();
}

int64_t integer(const Napi::Value& value, const std::string& name) {
  const double given = number(value, name);
  require(std::nearbyint(given) == given && std::abs(given) <= 9007199254740991.0,
          "Expected a whole number for ", name, " but received ", given);
  return int64_t(given);
}

std::string text(const Napi::Value& value, const std::string& name) {
  if (!value.IsString()) unexpected("a string", name, value);
  return value.As<Napi::String>();
}

std::vector<double> numbers(const Napi::Value& value, const std::string& name) {
  return list<double>(value, name, number);
}
std::vector<int64_t> integers(const Napi::Value& value, const std::string& name) {
  return list<int64_t>(value, name, integer);
}
std::vector<std::string> texts(const Napi::Value& value, const std::string& name) {
  return list<std::string>(value, name, text);
}
std::vector<at::Tensor> tensors(const Napi::Value& value, const char* name) {
  return list<at::Tensor>(value, name, [](const Napi::Value& item, const std::string& item_name) {
    return TensorHandle::get(item, item_name.c_str());
  });
}

Napi::Object object(const Napi::Value& value, const std::string& name) {
  if (!value.IsObject()) unexpected("an object", name, value);
  return value.As<Napi::Object>();
}

void unexpected_word(const std::string& word, const std::string& name,
                     const std::vector<std::string>& words) {
  std::string list = words.front();
  for (size_t index = 1; index < words.size(); ++index) {
    list += (index + 1 == words.size() ? " or " : ", ") + words[index];
  }
  throw Error("BAD_INPUT", "Expected " + list + " for " + name + " but received " + word);
}

at::ScalarType dtype(const Napi::Value& value, const std::string& name) {
  return word<at::ScalarType>(value, name,
                              {{"float32", at::kFloat},
                               {"float64", at::kDouble},
                               {"float16", at::kHalf},
                               {"bfloat16", at::kBFloat16},
                               {"int64", at::kLong},
                               {"uint8", at::kByte}});
}

bool has(const Napi::Object& object, const char* key) {
  const Napi::Value value = object.Get(key);
  return !value.IsUndefined() && !value.IsNull();
}

double number_or(const Napi::Object& object, const char* key, double otherwise) {
  return has(object, key) ? number(object.Get(key), key) : otherwise;
}
int64_t integer_or(const Napi::Object& object, const char* key, int64_t otherwise) {
  return has(object, key) ? integer(object.Get(key), key) : otherwise;
}
bool boolean_or(const Napi::Object& object, const char* key, bool otherwise) {
  if (!has(object, key)) return otherwise;
  const Napi::Value value = object.Get(key);
  if (!value.IsBoolean()) unexpected("true or false", key, value);
  return value.As<Napi::Boolean>();
}

}  // namespace transfer_limits
