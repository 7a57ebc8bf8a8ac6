#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "error.h"

namespace transfer_limits {

// What a specification says of a network, by name: the bridge reads it from JavaScript, the network's own file takes from it
// what it knows, with the ranges that it can have. Every reader throws BAD_INPUT that names the setting.
class Settings {
 public:
  struct Value {
    // Numbers alone, lists of numbers (or of lists of them), words, flags, settings in settings and lists of those, and a
    // file's bytes; nothing for anything else.
    std::variant<std::monostate, double, std::vector<std::vector<double>>, std::string, bool,
                 std::shared_ptr<const Settings>, std::vector<std::shared_ptr<const Settings>>,
                 std::shared_ptr<const std::string>>
        value;
    std::string shown;  // in messages
  };

  Settings(std::string name, std::map<std::string, Value> values)
      : name_(std::move(name)), values_(std::move(values)) {}

  bool has(const std::string& key) const { return values_.count(key) > 0; }

  int64_t integer(const std::string& key, int64_t low, int64_t high) const;
  int64_t integer_or(const std::string& key, int64_t otherwise, int64_t low, int64_t high) const;
  double number_or(const std::string& key, double otherwise) const;
  std::string text(const std::string& key) const;
  bool flag_or(const std::string& key, bool otherwise) const;
  // One of these words; of `word` the first, where there is none.
  std::string choice(const std::string& key, const std::vector<std::string>& words) const;
  std::string word(const std::string& key, const std::vector<std::string>& words) const;
  std::vector<int64_t> integers(const std::string& key, int64_t low, int64_t high) const;
  // A list of exactly `Size`.
  template <size_t Size>
  std::array<int64_t, Size> integers(const std::string& key, int64_t low, int64_t high) const {
    const std::vector<int64_t> list = integers(key, low, high);
    require(list.size() == Size, "Expected ", Size, " whole numbers for ", named(key), " but received ",
            list.size());
    std::array<int64_t, Size> result{};
    std::copy(list.begin(), list.end(), result.begin());
    return result;
  }
  // Three numbers for each of `count`, along depth, height and width; one number stands for all three.
  std::vector<std::array<int64_t, 3>> triples(const std::string& key, size_t count, int64_t low,
                                              int64_t high) const;
  // Three numbers, along depth, height and width; one number stands for all three.
  std::array<int64_t, 3> triple(const std::string& key, int64_t low, int64_t high) const;
  bool is_number(const std::string& key) const;
  // Settings in these settings; none where there are none.
  std::shared_ptr<const Settings> section(const std::string& key) const;
  // A list of them; empty where there is none.
  std::vector<std::shared_ptr<const Settings>> sections(const std::string& key) const;
  // The bytes of a file.
  std::shared_ptr<const std::string> bytes(const std::string& key) const;

  // How a message calls a setting.
  std::string named(const std::string& key) const { return name_ + "." + key; }

 private:
  const Value& at(const std::string& key) const;
  [[noreturn]] void unexpected(const std::string& what, const std::string& key) const;
  int64_t checked(double number, const std::string& name, int64_t low, int64_t high) const;

  std::string name_;
  std::map<std::string, Value> values_;
};

}  // namespace transfer_limits
