#include "bridge/arguments.h"
#include "bridge/functions.h"
#include "bridge/handles.h"
#include "bridge/promise.h"
#include "kernels/matched_rows.h"
#include "kernels/mmd.h"
#include "kernels/mmd_permutations.h"
#include "kernels/overlap.h"
#include "kernels/ssim.h"

namespace transfer_limits::functions {
namespace {

Napi::Value to_number(Napi::Env env, double value) { return Napi::Number::New(env, value); }

std::function<bool()> cancelled_by(Napi::Env env, const Napi::Value& value) {
  if (value.IsNull() || value.IsUndefined()) return {};
  const std::shared_ptr<CancelFlag> flag =
      CancelHandle::get(Environment::of(env)->classes().cancel, value, "cancel");
  return [flag] { return flag->load(); };
}

Napi::Value to_object(Napi::Env env, const KernelSums& sums) {
  auto result = Napi::Object::New(env);
  result.Set("rowsA", double(sums.rows_a));
  result.Set("rowsB", double(sums.rows_b));
  result.Set("sumAA", to_array(env, sums.within_a));
  result.Set("sumBB", to_array(env, sums.within_b));
  result.Set("sumAB", to_array(env, sums.between));
  result.Set("sumMatched", to_array(env, sums.matched));
  return result;
}

Napi::Value to_object(Napi::Env env, const MatchedRows& found) {
  auto result = Napi::Object::New(env);
  const auto set = [&](const char* name, const std::optional<double>& value) {
    result.Set(name, value ? Napi::Value(Napi::Number::New(env, *value)) : env.Null());
  };
  set("linearCka", found.linear_cka);
  set("procrustes", found.procrustes);
  set("meanShift", found.mean_shift);
  set("deviationA", found.deviation_a);
  set("deviationB", found.deviation_b);
  return result;
}

constexpr auto sums_to_object = static_cast<Napi::Value (*)(Napi::Env, const KernelSums&)>(&to_object);
constexpr auto rows_to_object = static_cast<Napi::Value (*)(Napi::Env, const MatchedRows&)>(&to_object);

}  // namespace

Napi::Value mmd2(const Napi::CallbackInfo& info) {
  const at::Tensor a = TensorHandle::get(info[0], "a");
  const at::Tensor b = TensorHandle::get(info[1], "b");
  const std::vector<double> sigmas = numbers(info[2], "sigmas");
  const auto cancelled = cancelled_by(info.Env(), info[3]);
  const Products products = word<Products>(info[4], "products",
                                           {{"float32", Products::kFloat32},
                                            {"int16", Products::kInt16},
                                            {"three-term-bfloat16", Products::kThreeTermBfloat16},
                                            {"bfloat16", Products::kBfloat16}});
  return promise(
      info.Env(), a.device(),
      [a, b, sigmas, cancelled, products] { return gaussian_kernel_sums(a, b, sigmas, cancelled, products); },
      sums_to_object);
}

Napi::Value mmd_permutations(const Napi::CallbackInfo& info) {
  const at::Tensor a = TensorHandle::get(info[0], "a");
  const at::Tensor b = TensorHandle::get(info[1], "b");
  const double sigma = number(info[2], "sigma");
  const at::Tensor members = TensorHandle::get(info[3], "members");
  const auto cancelled = cancelled_by(info.Env(), info[4]);
  return promise(
      info.Env(), a.device(),
      [a, b, sigma, members, cancelled] { return permuted_kernel_sums(a, b, sigma, members, cancelled); },
      sums_to_object);
}

Napi::Value median_distance(const Napi::CallbackInfo& info) {
  const at::Tensor rows = TensorHandle::get(info[0], "rows");
  return promise(
      info.Env(), rows.device(), [rows] { return transfer_limits::median_distance(rows); }, &to_number);
}

Napi::Value compare_matched_rows(const Napi::CallbackInfo& info) {
  const at::Tensor a = TensorHandle::get(info[0], "a");
  const at::Tensor b = TensorHandle::get(info[1], "b");
  return promise(
      info.Env(), a.device(), [a, b] { return transfer_limits::compare_matched_rows(a, b); }, rows_to_object);
}

Napi::Value ssim3d(const Napi::CallbackInfo& info) {
  const at::Tensor a = TensorHandle::get(info[0], "a");
  const at::Tensor b = TensorHandle::get(info[1], "b");
  const double data_range = number(info[2], "dataRange");
  const auto as_batch = [](const at::Tensor& x) { return x.dim() == 3 ? x.unsqueeze(0).unsqueeze(0) : x; };
  return promise(
      info.Env(), a.device(),
      [a = as_batch(a), b = as_batch(b), data_range] {
        const torch::NoGradGuard no_grad;
        const at::Tensor values =
            transfer_limits::ssim3d(a, b, data_range).to(at::kDouble).cpu().contiguous();
        return std::vector<double>(values.data_ptr<double>(), values.data_ptr<double>() + values.numel());
      },
      [](Napi::Env env, const std::vector<double>& values) { return Napi::Value(to_array(env, values)); });
}

Napi::Value overlap(const Napi::CallbackInfo& info) {
  const at::Tensor prediction = TensorHandle::get(info[0], "prediction");
  const at::Tensor target = TensorHandle::get(info[1], "target");
  const double threshold = number(info[2], "threshold");
  return promise(
      info.Env(), prediction.device(),
      [prediction, target, threshold] { return transfer_limits::overlap(prediction, target, threshold); },
      [](Napi::Env env, std::vector<Overlap> list) {
        auto result = Napi::Array::New(env, list.size());
        for (size_t index = 0; index < list.size(); ++index) {
          auto entry = Napi::Object::New(env);
          entry.Set("intersection", double(list[index].intersection));
          entry.Set("prediction", double(list[index].prediction));
          entry.Set("target", double(list[index].target));
          result.Set(uint32_t(index), entry);
        }
        return Napi::Value(result);
      });
}

}  // namespace transfer_limits::functions
