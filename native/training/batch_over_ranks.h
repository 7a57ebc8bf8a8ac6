#pragma once

#include <functional>

#include "modules.h"
#include "training/losses.h"

namespace transfer_limits {

// What losses that look at all samples of a batch take from the ranks that each see a part of it, where the present part of
// a batch (layers/batch_part.h) is a rank's. Without ranks the part is the batch, and each is what it is there.

// The sum over all ranks of a rank's own term: every rank has the whole, through which the gradient goes to its own.
at::Tensor sum_over_ranks(const at::Tensor& own);

// Which share of the batch a rank's `samples` are: 0 where they do not count.
double share_of_batch(int64_t samples);

// The contrast (patch_contrast.h) of the patches of a whole batch.
//
//   share     [views, rows, patches]: the share of lesion in each of a rank's own, `rows_each` rows a sample of the batch
//   features  of own patches by their flat indices in `share`: [K] -> [K, E]
//
// Which patches are compared follows from all shares; each rank gives the features of its own among them.
at::Tensor contrast_of_batch(const at::Tensor& share, int64_t rows_each,
                             const std::function<at::Tensor(const at::Tensor&)>& features, const Loss& loss);

}  // namespace transfer_limits
