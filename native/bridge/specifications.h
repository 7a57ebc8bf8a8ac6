#pragma once

#include <napi.h>

#include <optional>

#include "models/specification.h"
#include "training/trainer.h"

namespace transfer_limits {

// Reads the objects of src/native/network-spec.ts and trainer.ts: NetworkSpec, LossSpec, TrainerOptions. Throws BAD_INPUT.
NetworkSpecification read_network(const Napi::Value& value);
// The bins that a NetworkSpec names for its output, if any.
std::optional<IntensityBins> read_bins(const Napi::Value& value);
// float32 or bfloat16.
Precision read_precision(const Napi::Value& value);
Loss read_loss(const Napi::Value& value);
// { pooled, stages } of src/native/placed-network.ts; nothing for null.
std::optional<Features> read_features(const Napi::Value& value, at::ScalarType type);
TrainerOptions read_trainer_options(const Napi::Value& value);

}  // namespace transfer_limits
