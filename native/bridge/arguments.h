#pragma once

#include <napi.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "error.h"
#include "modules.h"

namespace transfer_limits {

// Reading JavaScript values with errors that name them. Everything here runs on the JavaScript thread.

// A short rendering of any value for an error message, as `describe` in src/common/errors.ts gives it.
std::string describe(const Napi::Value& value);

std::string dtype_name(at::ScalarType type);
// BAD_INPUT unless the tensor is of one of these types; the message holds its type and shape.
void require_type(const at::Tensor& tensor, const std::string& name,
                  std::initializer_list<at::ScalarType> types);
torch::Device device_named(const std::string& name);

Napi::Array to_array(Napi::Env env, const std::vector<int64_t>& values);
Napi::Array to_array(Napi::Env env, const std::vector<double>& values);

double number(const Napi::Value& value, const std::string& name);
int64_t integer(const Napi::Value& value, const std::string& name);
std::string text(const Napi::Value& value, const std::string& name);
std::vector<double> numbers(const Napi::Value& value, const std::string& name);
std::vector<int64_t> integers(const Napi::Value& value, const std::string& name);
std::vector<std::string> texts(const Napi::Value& value, const std::string& name);
std::vector<at::Tensor> tensors(const Napi::Value& value, const char* name);
Napi::Object object(const Napi::Value& value, const std::string& name);
at::ScalarType dtype(const Napi::Value& value, const std::string& name);

// BAD_INPUT that lists the words of which one was expected.
[[noreturn]] void unexpected_word(const std::string& word, const std::string& name,
                                  const std::vector<std::string>& words);

// What a word means, one of those listed.
template <typename Meaning>
Meaning word(const Napi::Value& value, const std::string& name,
             std::initializer_list<std::pair<const char*, Meaning>> meanings) {
  const std::string given = text(value, name);
  std::vector<std::string> words;
  for (const auto& [known, meaning] : meanings) {
    if (given == known) return meaning;
    words.emplace_back(known);
  }
  unexpected_word(given, name, words);
}

// A list of exactly `Size` numbers.
template <size_t Size>
std::array<double, Size> fixed_numbers(const Napi::Value& value, const std::string& name) {
  const std::vector<double> list = numbers(value, name);
  require(list.size() == Size, "Expected ", Size, " numbers for ", name, " but received ", list.size());
  std::array<double, Size> result{};
  std::copy(list.begin(), list.end(), result.begin());
  return result;
}

template <size_t Size>
std::array<int64_t, Size> fixed_integers(const Napi::Value& value, const std::string& name) {
  const std::vector<int64_t> list = integers(value, name);
  require(list.size() == Size, "Expected ", Size, " whole numbers for ", name, " but received ", list.size());
  std::array<int64_t, Size> result{};
  std::copy(list.begin(), list.end(), result.begin());
  return result;
}

// A property that may be absent.
bool has(const Napi::Object& object, const char* key);
double number_or(const Napi::Object& object, const char* key, double otherwise);
int64_t integer_or(const Napi::Object& object, const char* key, int64_t otherwise);
bool boolean_or(const Napi::Object& object, const char* key, bool otherwise);

}  // namespace transfer_limits
