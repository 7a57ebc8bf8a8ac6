#include "models/settings.h"

#include <algorithm>
#include <cmath>

namespace transfer_limits {

const Settings::Value& Settings::at(const std::string& key) const {
  static const Value absent{{}, "undefined"};
  const auto found = values_.find(key);
  return found == values_.end() ? absent : found->second;
}

void Settings::unexpected(const std::string& what, const std::string& key) const {
  throw Error("BAD_INPUT", "Expected " + what + " for " + named(key) + " but received " + at(key).shown);
}

int64_t Settings::checked(double number, const std::string& name, int64_t low, int64_t high) const {
  require(std::floor(number) == number && number >= double(low) && number <= double(high),
          "Expected a whole number from ", low, " to ", high, " for ", name, " but received ", number);
  return int64_t(number);
}

int64_t Settings::integer(const std::string& key, int64_t low, int64_t high) const {
  const auto* number = std::get_if<double>(&at(key).value);
  if (number == nullptr) unexpected("a whole number", key);
  return checked(*number, named(key), low, high);
}

int64_t Settings::integer_or(const std::string& key, int64_t otherwise, int64_t low, int64_t high) const {
  return has(key) ? integer(key, low, high) : otherwise;
}

double Settings::number_or(const std::string& key, double otherwise) const {
  if (!has(key)) return otherwise;
  const auto* number = std::get_if<double>(&at(key).value);
  if (number == nullptr) unexpected("a number", key);
  return *number;
}

std::string Settings::text(const std::string& key) const {
  const auto* text = std::get_if<std::string>(&at(key).value);
  if (text == nullptr) unexpected("a string", key);
  return *text;
}

bool Settings::flag_or(const std::string& key, bool otherwise) const {
  if (!has(key)) return otherwise;
  const auto* flag = std::get_if<bool>(&at(key).value);
  if (flag == nullptr) unexpected("true or false", key);
  return *flag;
}

std::string Settings::word(const std::string& key, const std::vector<std::string>& words) const {
  return has(key) ? choice(key, words) : words.front();
}

std::string Settings::choice(const std::string& key, const std::vector<std::string>& words) const {
  const std::string word = text(key);
  if (std::find(words.begin(), words.end(), word) != words.end()) return word;
  std::string list;
  for (size_t index = 0; index < words.size(); ++index) {
    list += (index == 0 ? "" : index + 1 == words.size() ? " or " : ", ") + words[index];
  }
  throw Error("BAD_INPUT", "Expected " + list + " for " + named(key) + " but received " + word);
}

std::vector<int64_t> Settings::integers(const std::string& key, int64_t low, int64_t high) const {
  const auto* list = std::get_if<std::vector<std::vector<double>>>(&at(key).value);
  if (list == nullptr) unexpected("an array of whole numbers", key);
  std::vector<int64_t> result;
  for (size_t index = 0; index < list->size(); ++index) {
    const std::string name = named(key) + "[" + std::to_string(index) + "]";
    const std::vector<double>& item = (*list)[index];
    require(item.size() == 1, "Expected a whole number for ", name, " but received ", item.size());
    result.push_back(checked(item[0], name, low, high));
  }
  return result;
}

std::vector<std::array<int64_t, 3>> Settings::triples(const std::string& key, size_t count, int64_t low,
                                                      int64_t high) const {
  const auto* list = std::get_if<std::vector<std::vector<double>>>(&at(key).value);
  if (list == nullptr) unexpected("an array", key);
  require(list->size() == count, "Expected ", count, " entries for ", named(key), " but received ",
          list->size());
  std::vector<std::array<int64_t, 3>> result;
  for (size_t index = 0; index < count; ++index) {
    const std::string name = named(key) + "[" + std::to_string(index) + "]";
    const std::vector<double>& item = (*list)[index];
    require(item.size() == 1 || item.size() == 3, "Expected one number or three for ", name, " but received ",
            item.size());
    std::array<int64_t, 3> triple{};
    for (size_t axis = 0; axis < 3; ++axis) {
      triple[axis] = checked(item.size() == 1 ? item[0] : item[axis], name, low, high);
    }
    result.push_back(triple);
  }
  return result;
}

bool Settings::is_number(const std::string& key) const {
  return std::holds_alternative<double>(at(key).value);
}

std::array<int64_t, 3> Settings::triple(const std::string& key, int64_t low, int64_t high) const {
  if (!is_number(key)) return integers<3>(key, low, high);
  const int64_t all = integer(key, low, high);
  return {all, all, all};
}

std::shared_ptr<const Settings> Settings::section(const std::string& key) const {
  if (!has(key)) return nullptr;
  const auto* section = std::get_if<std::shared_ptr<const Settings>>(&at(key).value);
  if (section == nullptr) unexpected("an object", key);
  return *section;
}

std::vector<std::shared_ptr<const Settings>> Settings::sections(const std::string& key) const {
  if (!has(key)) return {};
  if (const auto* list = std::get_if<std::vector<std::vector<double>>>(&at(key).value);
      list != nullptr && list->empty())
    return {};  // an empty list is one of anything
  const auto* sections = std::get_if<std::vector<std::shared_ptr<const Settings>>>(&at(key).value);
  if (sections == nullptr) unexpected("an array of objects", key);
  return *sections;
}

std::shared_ptr<const std::string> Settings::bytes(const std::string& key) const {
  const auto* bytes = std::get_if<std::shared_ptr<const std::string>>(&at(key).value);
  if (bytes == nullptr) unexpected("a file's bytes in a Uint8Array", key);
  return *bytes;
}

}  // namespace transfer_limits
