// What stands for the CUDA kernels in a build without them: no tensor of such a build lies on a CUDA device.
#include "error.h"
#include "kernels/cuda_devices.h"
#include "kernels/depthwise_conv3d.h"
#include "kernels/distortion.h"
#include "kernels/expected_intensity.h"
#include "kernels/gelu_grn.h"
#include "kernels/group_norm.h"
#include "kernels/layer_norm.h"
#include "kernels/mmd.h"
#include "kernels/philox_normal.h"
#include "kernels/philox_uniform.h"
#include "kernels/ssim_rows.h"

namespace transfer_limits::cuda {
namespace {

[[noreturn]] void refuse() {
  throw Error("BAD_INPUT",
              "Expected a tensor on the CPU but received one on a CUDA device: this build has no CUDA "
              "kernels. Use the "
              "CUDA flavour, as the command doctor says");
}

}  // namespace

std::vector<Device> devices() { return {}; }
std::string version() { return ""; }
int64_t peak_memory(int64_t) { refuse(); }
void reset_peak_memory(int64_t) { refuse(); }
at::Tensor depthwise_conv3d(const at::Tensor&, const at::Tensor&, const at::Tensor&) { refuse(); }
at::Tensor depthwise_conv3d_input_gradient(const at::Tensor&, const at::Tensor&) { refuse(); }
std::pair<at::Tensor, at::Tensor> depthwise_conv3d_weight_gradient(const at::Tensor&, const at::Tensor&,
                                                                   int64_t) {
  refuse();
}
KernelSums kernel_sums_by_products(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                   const std::vector<double>&, Products, const std::function<bool()>&) {
  refuse();
}

at::Tensor distorted(const at::Tensor&, const at::Tensor&, const at::Tensor&, const FieldAlongAxis&) {
  refuse();
}

at::Tensor expectation_of_bins(const at::Tensor&, const at::Tensor&, at::IntArrayRef) { refuse(); }
at::Tensor expectation_of_bins_backward(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                        const at::Tensor&) {
  refuse();
}

std::pair<at::Tensor, at::Tensor> gelu_with_norms(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                                  bool) {
  refuse();
}
at::Tensor gelu_grn_backward(at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                             const at::Tensor&, const at::Tensor&) {
  refuse();
}
at::Tensor weight_gradient_on_grn(at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                  const at::Tensor&) {
  refuse();
}

std::pair<at::Tensor, at::Tensor> group_norm_activated(const at::Tensor&, int64_t, const at::Tensor&,
                                                       const at::Tensor&, const at::Tensor&, AfterNorm) {
  refuse();
}
GroupNormGradients group_norm_backward(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                       const at::Tensor&, int64_t, const at::Tensor&, const at::Tensor&, bool,
                                       AfterNorm) {
  refuse();
}

std::pair<at::Tensor, at::Tensor> layer_norm(const at::Tensor&, const at::Tensor&, const at::Tensor&, double,
                                             at::ScalarType) {
  refuse();
}
LayerNormGradients layer_norm_backward(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                       const at::Tensor&) {
  refuse();
}

void fill_philox_normal(at::Tensor&, uint64_t) { refuse(); }
void fill_philox_uniform(at::Tensor&, const at::Tensor&, int64_t, int64_t) { refuse(); }

at::Tensor ssim_of_rows(const at::Tensor&, const at::Tensor&, const SsimWindow&, SsimDerivatives&) {
  refuse();
}
std::pair<at::Tensor, at::Tensor> ssim_gradients_of_rows(const at::Tensor&, const at::Tensor&,
                                                         const SsimWindow&, const SsimDerivatives&,
                                                         const at::Tensor&) {
  refuse();
}

}  // namespace transfer_limits::cuda
