#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>

#include "bridge/arguments.h"
#include "bridge/functions.h"
#include "bridge/handles.h"
#include "bridge/promise.h"
#include "transfer.h"
#include "volumes/statistics.h"

namespace transfer_limits::functions {
namespace {

// A file descriptor that closes itself.
class File {
 public:
  // To read; without waiting, as one would for the writer of a pipe.
  static File to_read(const std::string& path) { return {path, O_RDONLY | O_NONBLOCK, "BAD_CHECKPOINT"}; }
  // A file that is not there yet.
  static File to_write(const std::string& path) { return {path, O_WRONLY | O_CREAT | O_EXCL, "BAD_FILE"}; }
  static File folder(const std::string& path) { return {path, O_RDONLY | O_DIRECTORY, "BAD_FILE"}; }

  ~File() { ::close(descriptor_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  int descriptor() const { return descriptor_; }
  [[noreturn]] void fail(const std::string& what) const {
    const int reason = errno;
    const std::string message = path_ + " " + what + ": " + std::strerror(reason);
    if (reason == ENOSPC || reason == EDQUOT || reason == EFBIG)
      throw Error("DISK_FULL", message + ". Free some space there; running the same again goes on from here");
    if (reason == ENOMEM) throw Error("OUT_OF_MEMORY", message + ". Fewer jobs need less memory");
    throw Error(code_, message);
  }
  // Of a regular file: of anything else nothing is read.
  int64_t size() const {
    struct stat status{};
    if (::fstat(descriptor_, &status) != 0) fail("cannot be looked at");
    if (!S_ISREG(status.st_mode)) throw Error(code_, path_ + " cannot be read: it is not a regular file");
    return status.st_size;
  }
  void write(const void* data, size_t length) const {
    const auto* bytes = static_cast<const char*>(data);
    while (length > 0) {
      const ssize_t written = ::write(descriptor_, bytes, std::min<size_t>(length, size_t(1) << 30));
      if (written < 0) {
        if (errno == EINTR) continue;
        fail("cannot be written");
      }
      bytes += written;
      length -= size_t(written);
    }
  }
  void sync() const {
    if (::fsync(descriptor_) != 0) fail("cannot be brought to the disk");
  }
  // Of a folder, which not every file system can be asked for.
  void sync_names() const {
    if (::fsync(descriptor_) != 0 && errno != EINVAL && errno != ENOTSUP && errno != ENOSYS)
      fail("cannot be brought to the disk");
  }

 private:
  File(const std::string& path, int flags, const char* code)
      : path_(path), code_(code), descriptor_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {
    if (descriptor_ < 0) fail("cannot be opened");
  }

  std::string path_;
  const char* code_;  // of what has no code of its own
  int descriptor_;
};

struct Location {
  std::string path;
  int64_t offset, length;
  at::ScalarType type;
  std::vector<int64_t> shape;
};

// A tensor's bytes as they lie in the file, copy-on-write: they are read when touched, and shared with every process
// that maps them.
class Mapping {
 public:
  explicit Mapping(const Location& location) {
    const File file = File::to_read(location.path);
    if (location.offset < 0 || location.length < 0 || location.offset > file.size() - location.length) {
      throw Error("BAD_CHECKPOINT", location.path + " was truncated: a tensor ends at byte " +
                                        std::to_string(location.offset + location.length) + " of " +
                                        std::to_string(file.size()));
    }
    const int64_t page = ::sysconf(_SC_PAGESIZE);
    const int64_t start = location.offset / page * page;
    length_ = size_t(location.offset - start + location.length);
    memory_ = ::mmap(nullptr, length_, PROT_READ | PROT_WRITE, MAP_PRIVATE, file.descriptor(), start);
    if (memory_ == MAP_FAILED) file.fail("cannot be mapped");
    ::madvise(memory_, length_,
              MADV_WILLNEED);  // all of it will be looked at: read as far ahead as the disk can
    data_ = static_cast<char*>(memory_) + (location.offset - start);
  }
  ~Mapping() { ::munmap(memory_, length_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  void* data() const { return data_; }

 private:
  void* memory_;
  size_t length_;
  void* data_;
};

at::Tensor map(const Location& location) {
  if (location.length == 0) return at::empty(location.shape, location.type);
  auto mapping = std::make_shared<Mapping>(location);
  if (location.offset % int64_t(at::elementSize(location.type)) !=
      0) {  // tensors must be aligned: copy this one
    at::Tensor copy = at::empty(location.shape, location.type);
    std::memcpy(copy.data_ptr(), mapping->data(), size_t(location.length));
    return copy;
  }
  void* data = mapping->data();
  return at::from_blob(
      data, location.shape, [mapping = std::move(mapping)](void*) mutable { mapping.reset(); },
      at::TensorOptions().dtype(location.type));
}

int64_t count_not_finite(const Location& location) {
  if (location.length == 0) return 0;
  const int64_t count = location.length / int64_t(at::elementSize(location.type));
  return volumes::count_not_finite(Mapping(location).data(), count, location.type);
}

Location read_location(const Napi::Value& value) {
  const Napi::Object object = transfer_limits::object(value, "location");
  return {text(object.Get("path"), "path"), integer(object.Get("offset"), "offset"),
          integer(object.Get("length"), "length"), dtype(object.Get("dtype"), "dtype"),
          integers(object.Get("shape"), "shape")};
}

std::string random_name() {
  std::random_device random;
  char name[17];
  std::snprintf(name, sizeof name, "%08x%08x", random(), random());
  return name;
}

void write_file(const std::string& path, const std::vector<uint8_t>& header,
                const std::vector<at::Tensor>& list) {
  // A folder may be shared by processes of several containers and hosts, whose ids are no names.
  const std::string temporary = path + "." + random_name() + ".partial";
  try {
    {
      const File file = File::to_write(temporary);
      file.write(header.data(), header.size());
      for (const at::Tensor& tensor : list) {
        const at::Tensor bytes = tensor.cpu().contiguous();
        if (bytes.numel() > 0) file.write(bytes.data_ptr(), bytes.nbytes());
      }
      file.sync();
    }
    const size_t slash = path.rfind('/');
    const File folder = File::folder(slash == std::string::npos ? "." : path.substr(0, slash + 1));
    if (::rename(temporary.c_str(), path.c_str()) != 0)
      folder.fail("takes no file " + path.substr(slash + 1));
    folder.sync_names();  // so that the new name survives a power cut, too
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

}  // namespace

Napi::Value tensor_map(const Napi::CallbackInfo& info) {
  const Location location = read_location(info[0]);
  const torch::Device device = device_named(text(info[1], "device"));
  return promise(
      info.Env(), device,
      [location, device] {
        at::Tensor tensor = map(location);
        // Half precision is for storage: everything computes in float32 or more.
        if (tensor.scalar_type() == at::kHalf || tensor.scalar_type() == at::kBFloat16)
          tensor = tensor.to(at::kFloat);
        return moved_to(tensor, device);
      },
      &TensorHandle::create);
}

Napi::Value tensor_map_count_not_finite(const Napi::CallbackInfo& info) {
  const Location location = read_location(info[0]);
  return promise(
      info.Env(), torch::kCPU, [location] { return count_not_finite(location); },
      [](Napi::Env env, int64_t count) { return Napi::Value(Napi::Number::New(env, double(count))); });
}

Napi::Value tensors_write(const Napi::CallbackInfo& info) {
  const std::string path = text(info[0], "path");
  if (!info[1].IsTypedArray()) throw Error("BAD_INPUT", "Expected a Uint8Array for header");
  const auto array = info[1].As<Napi::Uint8Array>();
  const std::vector<uint8_t> header(array.Data(), array.Data() + array.ElementLength());
  const std::vector<at::Tensor> list = tensors(info[2], "tensors");
  // Tensors as they lie in memory wait for the disk beside what is computed; others need their device first.
  const bool plain = std::all_of(list.begin(), list.end(), [](const at::Tensor& tensor) {
    return tensor.is_cpu() && tensor.is_contiguous();
  });
  return promise(
      info.Env(), plain ? Executor::of_files() : Executor::of(list[0].device()),
      [path, header, list] {
        write_file(path, header, list);
        return Nothing{};
      },
      &to_undefined);
}

}  // namespace transfer_limits::functions
