#!/usr/bin/env bash
# Builds the CUDA flavour of the addon, and the programs that check and time the kernels, from the sources around it:
# when a visit is packed, and once more on the host where what was packed does not start.
#
#   build.sh LIBTORCH CUDA_TOOLKIT|OFF NODE_MODULES FOLDER
set -euo pipefail
libtorch=$1 toolkit=$2 modules=$3 folder=$4
sources=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
headers="$modules/node-api-headers/include;$modules/node-addon-api"
# One that was configured for other places is begun anew.
if [ -e "$folder/CMakeCache.txt" ] && ! grep -qxF "LIBTORCH:PATH=$libtorch" "$folder/CMakeCache.txt"; then
  rm -rf "$folder"
fi
cmake -S "$sources" -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_CHECKS=ON \
  "-DLIBTORCH=$libtorch" "-DCUDA_TOOLKIT=$toolkit" "-DNODE_API_INCLUDE=$headers"
# A file that includes LibTorch's headers takes about 2 GB to compile.
parallel=$(awk -v cores="$(nproc)" '/^MemTotal/ { fit = int($2 / 2097152); print fit < 1 ? 1 : fit < cores ? fit : cores }' /proc/meminfo)
targets=(transfer_limits loader kernel_checks kernel_bench)
[ "$toolkit" = OFF ] || targets+=(transfer_limits_cuda)
cmake --build "$folder" --parallel "$parallel" --target "${targets[@]}"
