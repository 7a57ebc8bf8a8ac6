#pragma once

namespace transfer_limits {

// While one lives, a value that what runs on this thread finds without being handed it. One may stand inside another.
template <typename Value>
class Present {
 public:
  explicit Present(Value* value) : before_(present_) { present_ = value; }
  ~Present() { present_ = before_; }
  Present(const Present&) = delete;
  Present& operator=(const Present&) = delete;

  // Null where there is none.
  static Value* present() { return present_; }

 private:
  static inline thread_local Value* present_ = nullptr;
  Value* before_;
};

}  // namespace transfer_limits
