#pragma once

#include <cstdint>

namespace transfer_limits {

// Where TRANSFER_LIMITS_TENSOR_BYTES says how many bytes the tensors of this process may hold on the CPU, LibTorch's
// allocator refuses more than that, as a GPU's does: to see what a study does where memory ends. It acts once a process.
// Throws BAD_INPUT where the variable is no number of bytes.
void limit_tensor_memory();

// Bytes that could still be had on the CPU: on the machine without swapping, within the process's own limit of
// addresses, and within the one above. What is kept for coming tensors is given back first.
int64_t free_cpu_memory();

}  // namespace transfer_limits
