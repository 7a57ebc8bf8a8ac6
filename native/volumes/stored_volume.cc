#include "volumes/stored_volume.h"

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

// The members of a gzip file, one after the other; nothing unless they are sound and make `expected` bytes.
std::optional<at::Tensor> inflate(const at::Tensor& file, int64_t expected) {
  if (libdeflate_gzip_decompress_ex == nullptr) return std::nullopt;
  const std::unique_ptr<libdeflate_decompressor, void (*)(libdeflate_decompressor*)> decompressor(
      libdeflate_alloc_decompressor(), libdeflate_free_decompressor);
  if (decompressor == nullptr) return std::nullopt;
  at::Tensor result = bytes_of(expected);
  const auto* source = file.const_data_ptr<uint8_t>();
  auto* target = result.mutable_data_ptr<uint8_t>();
  auto left = size_t(file.numel()), room = size_t(expected);
  while (left > 0) {
    size_t taken = 0, made = 0;
    if (libdeflate_gzip_decompress_ex(decompressor.get(), source, left, target, room, &taken, &made) != 0) {
      return std::nullopt;
    }
    source += taken, left -= taken;
    target += made, room -= made;
  }
  if (room > 0) return std::nullopt;
  return result;
}

template <typename Stored>
int64_t convert(const uint8_t* source, const StoredVolume& volume, float* target) {
  const auto load = [source](int64_t voxel) {
    Stored value;  // the voxels may begin at any byte
    std::memcpy(&value, source + voxel * int64_t(sizeof(Stored)), sizeof(Stored));
    return value;
  };
  const bool plain = volume.slope == 1 && volume.intercept == 0;
  if (plain && sizeof(Stored) <= 4) {
    for (int64_t voxel = 0; voxel < volume.voxels; ++voxel) target[voxel] = float(load(voxel));
    if constexpr (std::is_integral_v<Stored>) return 0;
  } else if (plain) {
    for (int64_t voxel = 0; voxel < volume.voxels; ++voxel) target[voxel] = float(double(load(voxel)));
  } else {
    for (int64_t voxel = 0; voxel < volume.voxels; ++voxel) {
      target[voxel] = float(double(load(voxel)) * volume.slope + volume.intercept);
    }
  }
  int64_t not_finite = 0;
  for (int64_t voxel = 0; voxel < volume.voxels; ++voxel) {
    not_finite += std::abs(target[voxel]) <= std::numeric_limits<float>::max() ? 0 : 1;
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
  if (bytes && gzip) bytes = inflate(*bytes, expected);
  if (!bytes) return std::nullopt;
  DecodedVolume volume{at::empty({stored.voxels}, at::kFloat)};
  volume.not_finite = kind.convert(bytes->const_data_ptr<uint8_t>() + stored.first_byte, stored,
                                   volume.voxels.mutable_data_ptr<float>());
  return volume;
}

}  // namespace transfer_limits::volumes
