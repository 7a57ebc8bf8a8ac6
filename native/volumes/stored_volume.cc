#include "volumes/stored_volume.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <type_traits>

#include "error.h"

// libdeflate's own declarations, which no wheel carries along with the library. The loader opens it, if it is found;
// these are null otherwise.
extern "C" {
struct libdeflate_decompressor;
__attribute__((weak)) libdeflate_decompressor* libdeflate_alloc_decompressor();
__attribute__((weak)) void libdeflate_free_decompressor(libdeflate_decompressor* decompressor);
// 0 is success. Decompresses one member; says how many bytes it took, and how many it made.
__attribute__((weak)) int libdeflate_gzip_decompress_ex(libdeflate_decompressor* decompressor, const void* in,
                                                        size_t in_bytes, void* out, size_t out_bytes,
                                                        size_t* taken, size_t* made);
}

namespace transfer_limits::volumes {
namespace {

// `count` bytes, not filled. LibTorch's memory comes in large pages: small ones take as long to get as to fill.
at::Tensor bytes_of(int64_t count) { return at::empty({count}, at::kByte); }

// The next `count` bytes of a file, to `target`; false where there are fewer, or they cannot be read.
bool read_bytes(int file, int64_t count, uint8_t* target) {
  while (count > 0) {
    const ssize_t got = ::read(file, target, size_t(std::min<int64_t>(count, int64_t(1) << 30)));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    target += got;
    count -= got;
  }
  return true;
}

// The first `count` bytes of a regular file, to `target`; false where there are fewer, or they cannot be read. What it is,
// is looked at once it is open, and opening does not wait: a pipe may have taken the file's place.
bool read_file(const std::string& path, int64_t count, uint8_t* target) {
  const int file = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (file < 0) return false;
  struct stat status{};
  const bool read = ::fstat(file, &status) == 0 && S_ISREG(status.st_mode) && read_bytes(file, count, target);
  ::close(file);
  return read;
}

// The members of a gzip file, one after the other, to `target`; false unless they are sound and make `expected` bytes.
bool inflate(const uint8_t* source, int64_t bytes, int64_t expected, uint8_t* target) {
  if (libdeflate_gzip_decompress_ex == nullptr) return false;
  const std::unique_ptr<libdeflate_decompressor, void (*)(libdeflate_decompressor*)> decompressor(
      libdeflate_alloc_decompressor(), libdeflate_free_decompressor);
  if (decompressor == nullptr) return false;
  auto left = size_t(bytes), room = size_t(expected);
  while (left > 0) {
    size_t taken = 0, made = 0;
    if (libdeflate_gzip_decompress_ex(decompressor.get(), source, left, target, room, &taken, &made) != 0) {
      return false;
    }
    source += taken, left -= taken;
    target += made, room -= made;
  }
  return room == 0;
}

// `count` voxels; answers how many are not finite.
template <typename Stored>
int64_t convert_block(const Stored* source, int64_t count, const StoredVolume& volume, float* target) {
  const bool plain = volume.slope == 1 && volume.intercept == 0;
  if (plain && sizeof(Stored) <= 4) {
    for (int64_t voxel = 0; voxel < count; ++voxel) target[voxel] = float(source[voxel]);
    if constexpr (std::is_integral_v<Stored>) return 0;
  } else if (plain) {
    for (int64_t voxel = 0; voxel < count; ++voxel) target[voxel] = float(double(source[voxel]));
  } else {
    for (int64_t voxel = 0; voxel < count; ++voxel) {
      target[voxel] = float(double(source[voxel]) * volume.slope + volume.intercept);
    }
  }
  int64_t not_finite = 0;
  for (int64_t voxel = 0; voxel < count; ++voxel) {
    not_finite += std::abs(target[voxel]) <= std::numeric_limits<float>::max() ? 0 : 1;
  }
  return not_finite;
}

// The voxels may begin at any byte, and lie at the end of what is written: a block is out of the way before its place is.
template <typename Stored>
int64_t convert(const uint8_t* source, const StoredVolume& volume, float* target) {
  constexpr int64_t kBlock = 2048;
  Stored block[kBlock];
  int64_t not_finite = 0;
  for (int64_t first = 0; first < volume.voxels; first += kBlock) {
    const int64_t count = std::min(kBlock, volume.voxels - first);
    std::memcpy(block, source + first * int64_t(sizeof(Stored)), size_t(count) * sizeof(Stored));
    not_finite += convert_block(block, count, volume, target + first);
  }
  return not_finite;
}

struct Kind {
  const char* name;
  int64_t bytes;
  int64_t (*convert)(const uint8_t*, const StoredVolume&, float*);
};

template <typename Stored>
constexpr Kind kind(const char* name) {
  return {name, sizeof(Stored), &convert<Stored>};
}

constexpr Kind kKinds[] = {
    kind<int8_t>("int8"),   kind<uint8_t>("uint8"),   kind<int16_t>("int16"), kind<uint16_t>("uint16"),
    kind<int32_t>("int32"), kind<uint32_t>("uint32"), kind<int64_t>("int64"), kind<uint64_t>("uint64"),
    kind<float>("float32"), kind<double>("float64"),
};

const Kind& kind_named(const std::string& name) {
  for (const Kind& kind : kKinds) {
    if (name == kind.name) return kind;
  }
  throw Error("BAD_INPUT", "Expected the type of a voxel, such as int16, but received " + name);
}

}  // namespace

std::optional<DecodedVolume> decode(const std::string& path, int64_t file_bytes, bool gzip,
                                    const StoredVolume& stored) {
  const Kind& kind = kind_named(stored.type);
  const int64_t expected = stored.first_byte + stored.voxels * kind.bytes;
  if (!gzip && file_bytes != expected) return std::nullopt;
  DecodedVolume volume{at::empty({stored.voxels}, at::kFloat)};
  auto* target = volume.voxels.mutable_data_ptr<float>();
  // Small voxels need no memory of their own, which takes time to get: they are decompressed to the end of the floats that
  // they become, and what is compressed lies before them, where it fits.
  auto* floats = reinterpret_cast<uint8_t*>(target);
  const int64_t spare = stored.voxels * int64_t(sizeof(float)) - expected;
  at::Tensor own;
  if (spare < 0) own = bytes_of(expected);
  uint8_t* place = spare < 0 ? own.mutable_data_ptr<uint8_t>() : floats + spare;
  if (gzip) {
    at::Tensor compressed;
    if (spare < file_bytes) compressed = bytes_of(file_bytes);
    uint8_t* source = spare < file_bytes ? compressed.mutable_data_ptr<uint8_t>() : floats;
    if (!read_file(path, file_bytes, source) || !inflate(source, file_bytes, expected, place)) {
      return std::nullopt;
    }
  } else if (!read_file(path, expected, place)) {
    return std::nullopt;
  }
  volume.not_finite = kind.convert(place + stored.first_byte, stored, target);
  return volume;
}

}  // namespace transfer_limits::volumes
