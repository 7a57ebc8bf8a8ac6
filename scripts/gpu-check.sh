#!/usr/bin/env bash
# On a CUDA host: builds the native core with its check and benchmark programs, compares every kernel with float64
# references, and prints how long they take beside LibTorch's own operations and the published network in PyTorch.
# Needs nvcc, CMake, ninja and a Python with torch 2.11 or later; neither Node nor the network. Under ten minutes.
#
#   scripts/gpu-check.sh [--sanitize]    also under compute-sanitizer, where it can run (slow)
#
# PYTHON names the Python (python3), CUDA_HOME the toolkit (where nvcc lies), BUILD the build folder (build/gpu-check).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

missing() {
  echo "$1" >&2
  exit 2
}
python=${PYTHON:-python3}
build=${BUILD:-build/gpu-check}
for program in cmake ninja "$python"; do
  command -v "$program" >/dev/null || missing "$program is missing: install it, or name another (see the head of $0)"
done
cuda=${CUDA_HOME:-}
if [ -z "$cuda" ]; then
  nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
  [ -x "$nvcc" ] || missing "nvcc is missing: set CUDA_HOME to a CUDA toolkit"
  cuda=$(dirname "$(dirname "$(readlink -f "$nvcc")")")
fi
torch=$("$python" -c 'import os, torch; print(os.path.dirname(torch.__file__))') \
  || missing "$python has no torch: set PYTHON to a Python with torch 2.11 or later"

echo "## Machine"
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || missing "nvidia-smi finds no GPU"
"$python" -c 'import torch; print("torch", torch.__version__)'
"$cuda/bin/nvcc" --version | tail -n 2

echo "## Build"
start=$SECONDS
mkdir -p "$(dirname "$build")"
cmake -S . -B "$build" -G Ninja -DBUILD_NODE_ADDON=OFF -DBUILD_CHECKS=ON -DCMAKE_BUILD_TYPE=Release \
  "-DLIBTORCH=$torch" "-DCUDA_TOOLKIT=$cuda" >"$build.log" 2>&1 || { cat "$build.log"; exit 1; }
cmake --build "$build" --target kernel_checks kernel_bench >>"$build.log" 2>&1 || { tail -n 60 "$build.log"; exit 1; }
echo "in $((SECONDS - start)) s"

echo "## Every kernel against a reference in float64"
status=0
# Each in a process of its own: an error that stays with a device spoils one check alone.
for check in $("$build/checks/kernel_checks" names); do
  timeout 120 "$build/checks/kernel_checks" cuda "$check" || status=1
done
if [ "${1:-}" = "--sanitize" ]; then
  sanitizer=$(command -v compute-sanitizer || echo "$cuda/bin/compute-sanitizer")
  for check in $("$build/checks/kernel_checks" names); do
    [ "$check" != step_recorder ] || continue # recording needs the allocator's cache, in which an overrun is not seen
    PYTORCH_NO_CUDA_MEMORY_CACHING=1 "$sanitizer" --error-exitcode 1 "$build/checks/kernel_checks" cuda "$check" ||
      status=1
  done
fi

echo "## Times"
timeout 200 "$build/checks/kernel_bench" cuda || status=1
timeout 200 "$python" bench/peers/on_cuda.py || status=1
exit "$status"
