#pragma once

#include <napi.h>

// Every function that the addon exports; src/native/addon.ts has their types. Each reads its arguments on the
// JavaScript thread, queues its work, and answers with a promise, unless it only looks something up.
namespace transfer_limits::functions {

// runtime.cc
Napi::Value build_info(const Napi::CallbackInfo& info);
Napi::Value set_threads(const Napi::CallbackInfo& info);
Napi::Value threads(const Napi::CallbackInfo& info);
Napi::Value set_deterministic(const Napi::CallbackInfo& info);
Napi::Value device_milliseconds(const Napi::CallbackInfo& info);
Napi::Value live_tensors(const Napi::CallbackInfo& info);
Napi::Value free_memory(const Napi::CallbackInfo& info);
Napi::Value peak_memory(const Napi::CallbackInfo& info);
Napi::Value reset_peak_memory(const Napi::CallbackInfo& info);
Napi::Value cancel_flag(const Napi::CallbackInfo& info);
Napi::Value cancel(const Napi::CallbackInfo& info);

// tensors.cc
Napi::Value tensor_from(const Napi::CallbackInfo& info);
Napi::Value tensor_share(const Napi::CallbackInfo& info);
Napi::Value tensor_to_array(const Napi::CallbackInfo& info);
Napi::Value tensor_gather(const Napi::CallbackInfo& info);
Napi::Value tensor_pool_depth(const Napi::CallbackInfo& info);
Napi::Value tensor_threshold(const Napi::CallbackInfo& info);
Napi::Value tensor_select(const Napi::CallbackInfo& info);
Napi::Value tensor_slice_sums(const Napi::CallbackInfo& info);
Napi::Value tensor_count_not_finite(const Napi::CallbackInfo& info);

// arithmetic.cc
Napi::Value tensor_normal(const Napi::CallbackInfo& info);
Napi::Value tensor_combine(const Napi::CallbackInfo& info);
Napi::Value tensor_clamp(const Napi::CallbackInfo& info);

// tensor_files.cc
Napi::Value tensor_map(const Napi::CallbackInfo& info);
Napi::Value tensor_map_count_not_finite(const Napi::CallbackInfo& info);
Napi::Value tensors_write(const Napi::CallbackInfo& info);

// networks.cc
Napi::Value network_create(const Napi::CallbackInfo& info);
Napi::Value network_parameters(const Napi::CallbackInfo& info);
Napi::Value network_state(const Napi::CallbackInfo& info);
Napi::Value network_assign(const Napi::CallbackInfo& info);
Napi::Value network_embed(const Napi::CallbackInfo& info);
Napi::Value network_forward(const Napi::CallbackInfo& info);
Napi::Value network_decode(const Napi::CallbackInfo& info);
Napi::Value network_embedded(const Napi::CallbackInfo& info);
Napi::Value network_project(const Napi::CallbackInfo& info);

// ranks.cc
Napi::Value ranks_join(const Napi::CallbackInfo& info);
Napi::Value rank_store_open(const Napi::CallbackInfo& info);
Napi::Value rank_store_leave(const Napi::CallbackInfo& info);
Napi::Value rank_store_find(const Napi::CallbackInfo& info);
Napi::Value ranks_sum(const Napi::CallbackInfo& info);

// training.cc
Napi::Value trainer_create(const Napi::CallbackInfo& info);
Napi::Value trainer_step(const Napi::CallbackInfo& info);
Napi::Value trainer_settle(const Napi::CallbackInfo& info);
Napi::Value trainer_distil(const Napi::CallbackInfo& info);
Napi::Value trainer_state(const Napi::CallbackInfo& info);
Napi::Value trainer_assign(const Napi::CallbackInfo& info);
Napi::Value loss_gradient(const Napi::CallbackInfo& info);
Napi::Value volume_move(const Napi::CallbackInfo& info);
Napi::Value batch_intensities(const Napi::CallbackInfo& info);
Napi::Value patch_contrast_gradient(const Napi::CallbackInfo& info);

// measures.cc
Napi::Value mmd2(const Napi::CallbackInfo& info);
Napi::Value mmd_permutations(const Napi::CallbackInfo& info);
Napi::Value median_distance(const Napi::CallbackInfo& info);
Napi::Value compare_matched_rows(const Napi::CallbackInfo& info);
Napi::Value ssim3d(const Napi::CallbackInfo& info);
Napi::Value overlap(const Napi::CallbackInfo& info);

// kernels.cc
Napi::Value kernel_arrange(const Napi::CallbackInfo& info);
Napi::Value kernel_depthwise_conv3d(const Napi::CallbackInfo& info);
Napi::Value kernel_linear(const Napi::CallbackInfo& info);
Napi::Value kernel_grn_perceptron(const Napi::CallbackInfo& info);
Napi::Value kernel_conv3d_same(const Napi::CallbackInfo& info);
Napi::Value kernel_patch_conv3d(const Napi::CallbackInfo& info);
Napi::Value kernel_group_norm(const Napi::CallbackInfo& info);

// volumes.cc
Napi::Value volume_resample(const Napi::CallbackInfo& info);
Napi::Value volume_smooth(const Napi::CallbackInfo& info);
Napi::Value volume_crop_slices(const Napi::CallbackInfo& info);
Napi::Value volume_normalise(const Napi::CallbackInfo& info);
Napi::Value volume_decode(const Napi::CallbackInfo& info);
Napi::Value volume_statistics(const Napi::CallbackInfo& info);
Napi::Value volume_bounds(const Napi::CallbackInfo& info);
Napi::Value volume_check_mask(const Napi::CallbackInfo& info);
Napi::Value volume_count_labels(const Napi::CallbackInfo& info);
Napi::Value volume_surface_distances(const Napi::CallbackInfo& info);
Napi::Value volume_detect(const Napi::CallbackInfo& info);
Napi::Value volume_warp(const Napi::CallbackInfo& info);
Napi::Value volume_jacobian_minimum(const Napi::CallbackInfo& info);
Napi::Value volume_distance_transform(const Napi::CallbackInfo& info);
Napi::Value volume_region_behind(const Napi::CallbackInfo& info);
Napi::Value volume_distortion_field(const Napi::CallbackInfo& info);
Napi::Value volume_distort(const Napi::CallbackInfo& info);
Napi::Value phantom_render(const Napi::CallbackInfo& info);

}  // namespace transfer_limits::functions
