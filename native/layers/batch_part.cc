#include "layers/batch_part.h"

namespace transfer_limits {

thread_local const BatchPart* InBatchPart::present_ = nullptr;

}  // namespace transfer_limits
