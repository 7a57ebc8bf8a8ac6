#include "volumes/stored_volume.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
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

// The first `count` bytes of a file; nothing where there are fewer, or they cannot be read.
std::optional<at::Tensor> read_file(const std::string& path, int64_t count) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"), std::fclose);
  if (file == nullptr) return std::nullopt;
  if (std::setvbuf(file.get(), nullptr, _IONBF, 0) != 0) return std::nullopt;
  at::Tensor bytes = bytes_of(count);
  if (std::fread(bytes.mutable_data_ptr(), 1, size_t(count), file.get()) != size_t(count))
    return std::nullopt;
  return bytes;
}

// The members of a gzip file, one after the other, to `target`; false unless they are sound and make `expected` bytes.
bool inflate(const at::Tensor& file, int64_t expected, uint8_t* target) {
  if (libdeflate_gzip_decompress_ex == nullptr) return false;
  const std::unique_ptr<libdeflate_decompressor, void (*)(libdeflate_decompressor*)> decompressor(
      libdeflate_alloc_decompressor(), libdeflate_free_decompressor);
  if (decompressor == nullptr) return false;
  const auto* source = file.const_data_ptr<uint8_t>();
  auto left = size_t(file.numel()), room = size_t(expected);
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
  std::optional<at::Tensor> bytes = read_file(path, file_bytes);
  if (!bytes) return std::nullopt;
  DecodedVolume volume{at::empty({stored.voxels}, at::kFloat)};
  auto* target = volume.voxels.mutable_data_ptr<float>();
  const uint8_t* decompressed = bytes->const_data_ptr<uint8_t>();
  at::Tensor own;
  if (gzip) {
    // Small voxels need no memory of their own: they are decompressed to the end of the floats that they become.
    const int64_t spare = stored.voxels * int64_t(sizeof(float)) - expected;
    if (spare < 0) own = bytes_of(expected);
    uint8_t* place = spare < 0 ? own.mutable_data_ptr<uint8_t>() : reinterpret_cast<uint8_t*>(target) + spare;
    if (!inflate(*bytes, expected, place)) return std::nullopt;
    decompressed = place;
  }
  volume.not_finite = kind.convert(decompressed + stored.first_byte, stored, target);
  return volume;
}

}  // namespace transfer_limits::volumes
