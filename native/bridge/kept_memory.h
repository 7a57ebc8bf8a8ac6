#pragma once

namespace transfer_limits {

// From now on the memory of large CPU tensors is kept for the next ones of about their size. The C library gives what is
// larger than 32 MB back to the kernel at once, which clears it anew for the next tensor: of a U-Net's training step that
// took a fifth. What is kept and what tensors hold are together never more than tensors alone held at once before. It
// acts once a process.
void keep_tensor_memory();

// Gives back what is kept. Executors do so when they have had nothing to do for a while.
void give_back_kept_memory();

}  // namespace transfer_limits
