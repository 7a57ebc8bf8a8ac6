#include "volumes/stored_volume.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>

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

using Bytes = std::unique_ptr<uint8_t[]>;

// The members of a gzip file, one after the other, if they are sound and make `expected` bytes; else null.
Bytes inflate(const uint8_t* file, size_t bytes, size_t expected) {
  if (!can_inflate()) return nullptr;
  const std::unique_ptr<libdeflate_decompressor, void (*)(libdeflate_decompressor*)> decompressor(
      libdeflate_alloc_decompressor(), libdeflate_free_decompressor);
  if (decompressor == nullptr) return nullptr;
  Bytes result(new uint8_t[expected]);  // not filled: every byte is written, or the file is refused
  size_t done = 0;
  while (bytes > 0) {
    size_t taken = 0, made = 0;
    if (libdeflate_gzip_decompress_ex(decompressor.get(), file, bytes, result.get() + done, expected - done,
                                      &taken, &made) != 0) {
      return nullptr;
    }
    file += taken;
    bytes -= taken;
    done += made;
  }
  return done == expected ? std::move(result) : nullptr;
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

bool can_inflate() { return libdeflate_gzip_decompress_ex != nullptr; }

std::optional<DecodedVolume> decode(const uint8_t* file, size_t bytes, bool gzip, const StoredVolume& stored) {
  const Kind& kind = kind_named(stored.type);
  const size_t expected = size_t(stored.first_byte) + size_t(stored.voxels) * size_t(kind.bytes);
  Bytes inflated;
  if (gzip) {
    inflated = inflate(file, bytes, expected);
    if (inflated == nullptr) return std::nullopt;
    file = inflated.get();
  } else if (bytes != expected) {
    return std::nullopt;
  }
  DecodedVolume volume{at::empty({stored.voxels}, at::kFloat)};
  volume.not_finite = kind.convert(file + stored.first_byte, stored, volume.voxels.mutable_data_ptr<float>());
  return volume;
}

}  // namespace transfer_limits::volumes
