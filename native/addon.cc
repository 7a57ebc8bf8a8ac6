// What the addon exports, one line each; src/native/addon.ts has the types. Nothing else lives here.
#include <napi.h>

#include "bridge/environment.h"
#include "bridge/errors.h"
#include "bridge/functions.h"
#include "bridge/handles.h"
#include "bridge/kept_memory.h"
#include "bridge/memory_limit.h"
#include "layers/numerics.h"
#include "volumes/masks.h"

namespace transfer_limits {
namespace {

using Function = Napi::Value (*)(const Napi::CallbackInfo&);

// An exported function: whatever C++ throws in it becomes a JavaScript error with a code.
template <Function function>
Napi::Value guard(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&info] { return function(info); });
}

template <Function function>
void add(Napi::Object exports, const char* name) {
  exports.Set(name, Napi::Function::New<guard<function>>(exports.Env(), name));
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  keep_tensor_memory();
  guarded(env, [] { limit_tensor_memory(); });
  settle_numerics();
  Environment::create(env, {.tensor = Napi::Persistent(TensorHandle::define(env)),
                            .network = Napi::Persistent(NetworkHandle::define(env, "NetworkHandle")),
                            .trainer = Napi::Persistent(TrainerHandle::define(env, "TrainerHandle")),
                            .cancel = Napi::Persistent(CancelHandle::define(env, "CancelHandle")),
                            .ranks = Napi::Persistent(RanksHandle::define(env, "RanksHandle")),
                            .rank_store = Napi::Persistent(RankStoreHandle::define(env, "RankStoreHandle"))});

  add<functions::build_info>(exports, "buildInfo");
  add<functions::set_threads>(exports, "setThreads");
  add<functions::threads>(exports, "threads");
  add<functions::set_deterministic>(exports, "setDeterministic");
  add<functions::device_milliseconds>(exports, "deviceMilliseconds");
  add<functions::live_tensors>(exports, "liveTensors");
  add<functions::free_memory>(exports, "freeMemory");
  add<functions::peak_memory>(exports, "peakMemory");
  add<functions::reset_peak_memory>(exports, "resetPeakMemory");
  add<functions::cancel_flag>(exports, "cancelFlag");
  add<functions::cancel>(exports, "cancel");

  add<functions::tensor_from>(exports, "tensorFrom");
  add<functions::tensor_share>(exports, "tensorShare");
  add<functions::tensor_to_array>(exports, "tensorToArray");
  add<functions::tensor_gather>(exports, "tensorGather");
  add<functions::tensor_pool_depth>(exports, "tensorPoolDepth");
  add<functions::tensor_threshold>(exports, "tensorThreshold");
  add<functions::tensor_select>(exports, "tensorSelect");
  add<functions::tensor_slice_sums>(exports, "tensorSliceSums");
  add<functions::tensor_count_not_finite>(exports, "tensorCountNotFinite");
  add<functions::tensor_normal>(exports, "tensorNormal");
  add<functions::tensor_combine>(exports, "tensorCombine");
  add<functions::tensor_clamp>(exports, "tensorClamp");
  add<functions::tensor_map>(exports, "tensorMap");
  add<functions::tensor_map_count_not_finite>(exports, "tensorMapCountNotFinite");
  add<functions::tensors_write>(exports, "tensorsWrite");

  add<functions::network_create>(exports, "networkCreate");
  add<functions::network_parameters>(exports, "networkParameters");
  add<functions::network_state>(exports, "networkState");
  add<functions::network_assign>(exports, "networkAssign");
  add<functions::network_embed>(exports, "networkEmbed");
  add<functions::network_forward>(exports, "networkForward");
  add<functions::network_decode>(exports, "networkDecode");
  add<functions::network_embedded>(exports, "networkEmbedded");
  add<functions::network_project>(exports, "networkProject");

  add<functions::ranks_join>(exports, "ranksJoin");
  add<functions::rank_store_open>(exports, "rankStoreOpen");
  add<functions::rank_store_leave>(exports, "rankStoreLeave");
  add<functions::rank_store_find>(exports, "rankStoreFind");
  add<functions::ranks_sum>(exports, "ranksSum");
  add<functions::trainer_create>(exports, "trainerCreate");
  add<functions::trainer_step>(exports, "trainerStep");
  add<functions::trainer_settle>(exports, "trainerSettle");
  add<functions::trainer_distil>(exports, "trainerDistil");
  add<functions::trainer_state>(exports, "trainerState");
  add<functions::trainer_assign>(exports, "trainerAssign");
  add<functions::loss_gradient>(exports, "lossGradient");
  add<functions::volume_move>(exports, "volumeMove");
  add<functions::batch_intensities>(exports, "batchIntensities");
  add<functions::patch_contrast_gradient>(exports, "patchContrastGradient");

  add<functions::mmd2>(exports, "mmd2");
  add<functions::mmd_permutations>(exports, "mmdPermutations");
  add<functions::median_distance>(exports, "medianDistance");
  add<functions::compare_matched_rows>(exports, "compareMatchedRows");
  add<functions::ssim3d>(exports, "ssim3d");
  add<functions::overlap>(exports, "overlap");

  add<functions::kernel_arrange>(exports, "kernelArrange");
  add<functions::kernel_depthwise_conv3d>(exports, "kernelDepthwiseConv3d");
  add<functions::kernel_linear>(exports, "kernelLinear");
  add<functions::kernel_grn_perceptron>(exports, "kernelGrnPerceptron");
  add<functions::kernel_conv3d_same>(exports, "kernelConv3dSame");
  add<functions::kernel_patch_conv3d>(exports, "kernelPatchConv3d");
  add<functions::kernel_group_norm>(exports, "kernelGroupNorm");

  add<functions::volume_resample>(exports, "volumeResample");
  add<functions::volume_smooth>(exports, "volumeSmooth");
  add<functions::volume_crop_slices>(exports, "volumeCropSlices");
  add<functions::volume_normalise>(exports, "volumeNormalise");
  add<functions::volume_decode>(exports, "volumeDecode");
  add<functions::volume_statistics>(exports, "volumeStatistics");
  add<functions::volume_bounds>(exports, "volumeBounds");
  add<functions::volume_check_mask>(exports, "volumeCheckMask");
  exports.Set("foregroundAbove", volumes::kForegroundAbove);
  add<functions::volume_count_labels>(exports, "volumeCountLabels");
  add<functions::volume_surface_distances>(exports, "volumeSurfaceDistances");
  add<functions::volume_detect>(exports, "volumeDetect");
  add<functions::volume_warp>(exports, "volumeWarp");
  add<functions::volume_jacobian_minimum>(exports, "volumeJacobianMinimum");
  add<functions::volume_distance_transform>(exports, "volumeDistanceTransform");
  add<functions::volume_region_behind>(exports, "volumeRegionBehind");
  add<functions::volume_distortion_field>(exports, "volumeDistortionField");
  add<functions::volume_distort>(exports, "volumeDistort");
  add<functions::phantom_render>(exports, "phantomRender");
  return exports;
}

NODE_API_MODULE(transfer_limits, initialise)

}  // namespace
}  // namespace transfer_limits
