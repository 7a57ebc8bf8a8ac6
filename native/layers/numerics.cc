#include "layers/numerics.h"

#include <ATen/Context.h>

#include <cstdlib>
#include <mutex>

namespace transfer_limits {
namespace {

std::mutex tf32_mutex;
int64_t tf32_users = 0;

void allow_tf32(bool allowed) {
  // By operation: the older switch for cuDNN alone warns that it is older.
  const at::Float32Precision precision = allowed ? at::Float32Precision::TF32 : at::Float32Precision::IEEE;
  for (const at::Float32Op operation : {at::Float32Op::CONV, at::Float32Op::RNN}) {
    at::globalContext().setFloat32Precision(at::Float32Backend::CUDA, operation, precision);
  }
  at::globalContext().setAllowTF32CuBLAS(allowed);
}

}  // namespace

void settle_numerics() {
  allow_tf32(false);
  at::globalContext().setBenchmarkCuDNN(false);
}

Tf32::Tf32(Precision precision) : on_(precision == Precision::kTf32) {
  if (!on_) return;
  const std::lock_guard<std::mutex> lock(tf32_mutex);
  if (tf32_users++ == 0) allow_tf32(true);
}

Tf32::~Tf32() {
  if (!on_) return;
  const std::lock_guard<std::mutex> lock(tf32_mutex);
  if (--tf32_users == 0) allow_tf32(false);
}

void set_deterministic(bool on) {
  // Two buffers a stream, or eight: cuBLAS then shares none between streams. Whoever set it knows why.
  if (on) setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
  at::globalContext().setDeterministicCuDNN(on);
  at::globalContext().setDeterministicAlgorithms(on, /*warn_only=*/false);
  // It would fill every new tensor with NaN first: what is never read needs no value.
  at::globalContext().setDeterministicFillUninitializedMemory(false);
}

}  // namespace transfer_limits
