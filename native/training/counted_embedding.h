#pragma once

#include "models/network.h"

namespace transfer_limits {

// What `run()` answers, which runs the network or plays a recording of it. A recording runs no code of the network: on how
// many volumes its encoder has been run is counted here then. `embeds` says whether such work runs the encoder, and is found
// out in what is not played.
template <typename Run>
at::Tensor count_embedded_in(Network& network, int64_t volumes, bool& embeds, const Run& run) {
  const int64_t before = network.embedded();
  at::Tensor answer = run();
  if (network.embedded() > before) {
    embeds = true;
  } else if (embeds) {
    network.count_embedded(volumes);
  }
  return answer;
}

}  // namespace transfer_limits
