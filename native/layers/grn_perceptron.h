#pragma once

#include "modules.h"

namespace transfer_limits {

// The parameters of a ConvNeXt V2 block's pointwise part.
struct GrnPerceptronParameters {
  at::Tensor expand_weight, expand_bias;    // [F, C], [F]
  at::Tensor gamma, beta;                   // of GRN, F values in any shape
  at::Tensor project_weight, project_bias;  // [C, F], [C]
};

// Whether `x` [N, D, H, W, C] is for grn_perceptron: float32 on a CPU without autocast, float32 or bfloat16 on CUDA.
// Other tensors take one operation after another.
bool takes_grn_perceptron(const at::Tensor& x);

// Linear layer, GELU, global response normalisation (layers/grn.h), linear layer, as one step with its own backward
// pass: [N, D, H, W, C] -> [N, D, H, W, C]. Under autocast the matrix products take bfloat16; norms, scales and sums
// are float32. `keep` [N, D, H, W, 1], where it is defined, is what the activations are multiplied with.
//
// The normalisation z = a * scale + beta, with scale [N, F] from the norms of a, is never carried out: it goes into the
// second layer's weight and bias. For the way back only the first layer's answer and its activation are kept.
at::Tensor grn_perceptron(const at::Tensor& x, const GrnPerceptronParameters& parameters,
                          const at::Tensor& keep);

}  // namespace transfer_limits
