#include "bridge/arguments.h"
#include "bridge/functions.h"
#include "bridge/handles.h"
#include "bridge/promise.h"
#include "bridge/specifications.h"
#include "training/augmentation.h"
#include "training/patch_contrast.h"
#include "transfer.h"

namespace transfer_limits::functions {
namespace {

std::shared_ptr<PlacedTrainer> trainer_of(const Napi::Value& value) {
  return TrainerHandle::get(Environment::of(value.Env())->classes().trainer, value, "trainer");
}

// Images [.., C, H, W] on the trainer's device and of its type; undefined where they may be absent and are.
at::Tensor read_views(const Napi::Object& object, const char* key, const PlacedTrainer& placed,
                      int64_t axes) {
  const Napi::Value value = object.Get(key);
  if (value.IsNull() || value.IsUndefined()) return {};
  at::Tensor tensor = TensorHandle::get(value, key);
  require(tensor.dim() == axes && tensor.scalar_type() == placed.type && tensor.device() == placed.device,
          "Expected a ", dtype_name(placed.type), " tensor of ", axes, " axes on ", placed.device.str(),
          " for views.", key, " but received ", dtype_name(tensor.scalar_type()), " ", tensor.sizes(), " on ",
          tensor.device().str());
  return tensor;
}

// Volumes [N, C, D, H, W] of the trainer's type, on any device.
at::Tensor read_step_input(const Napi::Value& value, const PlacedTrainer& placed) {
  at::Tensor input = TensorHandle::get(value, "input");
  require(input.dim() == 5 && input.scalar_type() == placed.type, "Expected a ", dtype_name(placed.type),
          " input [N, C, D, H, W] but received ", dtype_name(input.scalar_type()), " ", input.sizes());
  return input;
}

// Which part of the batch of all ranks a step's input is; null: there are no ranks.
std::optional<OwnPart> read_own_part(const Napi::Value& value) {
  if (value.IsNull() || value.IsUndefined()) return std::nullopt;
  const Napi::Object object = transfer_limits::object(value, "part");
  return OwnPart{integer(object.Get("start"), "part.start"), integer(object.Get("total"), "part.total"),
                 boolean_or(object, "counts", true)};
}

struct LossAndGradient {
  double value;
  at::Tensor gradient;
};

// Of what `loss` makes of a prediction.
template <typename LossOf>
LossAndGradient differentiated(const at::Tensor& prediction, const LossOf& loss) {
  const at::Tensor leaf = prediction.detach().clone().requires_grad_();
  const at::Tensor value = loss(leaf);
  value.backward();
  return {value.template item<double>(), leaf.grad().contiguous()};
}

Napi::Value gradient_object(Napi::Env env, const LossAndGradient& computed) {
  auto result = Napi::Object::New(env);
  result.Set("value", computed.value);
  result.Set("gradient", TensorHandle::create(env, computed.gradient));
  return result;
}

}  // namespace

Napi::Value trainer_create(const Napi::CallbackInfo& info) {
  const auto placed = NetworkHandle::get(Environment::of(info.Env())->classes().network, info[0], "network");
  TrainerOptions options = read_trainer_options(info[1]);
  if (!info[3].IsNull() && !info[3].IsUndefined())
    options.ranks = RanksHandle::get(Environment::of(info.Env())->classes().ranks, info[3], "ranks");
  if (!info[2].IsNull() && !info[2].IsUndefined()) {
    const auto teacher =
        NetworkHandle::get(Environment::of(info.Env())->classes().network, info[2], "teacher");
    require(teacher->device == placed->device, "Expected a teacher on ", placed->device.str(),
            ", where the network is, but received one on ", teacher->device.str());
    require(teacher->type == placed->type, "Expected a teacher in ", dtype_name(placed->type),
            ", as the network is, but received one in ", dtype_name(teacher->type));
    options.teacher = teacher->network;
  }
  return promise(
      info.Env(), placed->device,
      [placed, options] {
        return std::make_shared<PlacedTrainer>(
            PlacedTrainer{std::make_shared<Trainer>(placed->network, options), placed->device, placed->type});
      },
      [](Napi::Env env, std::shared_ptr<PlacedTrainer> trainer) {
        return Napi::Value(
            TrainerHandle::create(env, Environment::of(env)->classes().trainer, std::move(trainer)));
      });
}

Napi::Value trainer_step(const Napi::CallbackInfo& info) {
  const auto placed = trainer_of(info[0]);
  const at::Tensor input = read_step_input(info[1], *placed);
  const at::Tensor target = TensorHandle::get(info[2], "target");
  const std::optional<Features> features = read_features(info[3], placed->type);
  const double learning_rate = number(info[4], "learningRate");
  const auto seed = uint64_t(integer(info[5], "seed"));
  const std::optional<OwnPart> own = read_own_part(info[6]);
  require(learning_rate >= 0.0, "Expected a number >= 0 for learningRate but received ", learning_rate);
  return promise(
      info.Env(), placed->device,
      [placed, input, target, features, learning_rate, seed, own] {
        return placed->trainer->step(moved_to(input, placed->device), moved_to(target, placed->device),
                                     features, learning_rate, seed, own);
      },
      &TensorHandle::create);
}

Napi::Value trainer_settle(const Napi::CallbackInfo& info) {
  const auto placed = trainer_of(info[0]);
  const at::Tensor input = read_step_input(info[1], *placed);
  const at::Tensor target = TensorHandle::get(info[2], "target");
  const auto seed = uint64_t(integer(info[3], "seed"));
  return promise(
      info.Env(), placed->device,
      [placed, input, target, seed] {
        placed->trainer->settle(moved_to(input, placed->device), moved_to(target, placed->device), seed);
        return Nothing{};
      },
      &to_undefined);
}

Napi::Value trainer_distil(const Napi::CallbackInfo& info) {
  const auto placed = trainer_of(info[0]);
  const Napi::Object object = transfer_limits::object(info[1], "views");
  SliceViews views;
  views.global = read_views(object, "global", *placed, 4);
  views.global_position = read_views(object, "globalPosition", *placed, 2);
  views.local = read_views(object, "local", *placed, 4);
  views.local_position = read_views(object, "localPosition", *placed, 2);
  views.lesion = read_views(object, "lesion", *placed, 4);
  views.slices = integer(object.Get("slices"), "views.slices");
  require(views.global.defined() && views.lesion.defined(),
          "Expected global views and their lesion masks for a step of self-distillation but received none");
  const DistillationStep distillation{number(object.Get("momentum"), "momentum"),
                                      number(object.Get("teacherTemperature"), "teacherTemperature"),
                                      boolean_or(object, "prototypesFrozen", false)};
  const double learning_rate = number(info[2], "learningRate");
  const auto seed = uint64_t(integer(info[3], "seed"));
  const std::optional<OwnPart> own = read_own_part(info[4]);
  require(learning_rate >= 0.0, "Expected a number >= 0 for learningRate but received ", learning_rate);
  return promise(
      info.Env(), placed->device,
      [placed, views, distillation, learning_rate, seed, own] {
        return placed->trainer->distil(views, distillation, learning_rate, seed, own);
      },
      &TensorHandle::create);
}

Napi::Value trainer_state(const Napi::CallbackInfo& info) {
  const auto placed = trainer_of(info[0]);
  using State = std::pair<int64_t, std::vector<std::pair<std::string, at::Tensor>>>;
  return promise(
      info.Env(), placed->device,
      [placed] { return State{placed->trainer->steps(), placed->trainer->state()}; },
      [](Napi::Env env, State state) {
        auto list = Napi::Array::New(env);
        for (auto& [name, tensor] : state.second) {
          auto entry = Napi::Object::New(env);
          entry.Set("name", name);
          entry.Set("tensor", TensorHandle::create(env, tensor));
          list.Set(list.Length(), entry);
        }
        auto result = Napi::Object::New(env);
        result.Set("steps", double(state.first));
        result.Set("tensors", list);
        return Napi::Value(result);
      });
}

Napi::Value trainer_assign(const Napi::CallbackInfo& info) {
  const auto placed = trainer_of(info[0]);
  const int64_t steps = integer(info[1], "steps");
  const std::vector<std::string> names = texts(info[2], "names");
  const std::vector<at::Tensor> list = tensors(info[3], "tensors");
  require(names.size() == list.size(), "Expected as many names as tensors, but received ", names.size(),
          " and ", list.size());
  return promise(
      info.Env(), placed->device,
      [placed, steps, names, list] {
        placed->trainer->assign(steps, names, list);
        return Nothing{};
      },
      &to_undefined);
}

Napi::Value volume_move(const Napi::CallbackInfo& info) {
  const at::Tensor volume = TensorHandle::get(info[0], "volume");
  Motion motion;
  for (const int64_t axis : integers(info[1], "flipped")) {
    require(axis >= 0 && axis < 3, "Expected axes 0 to 2 for flipped but received ", axis);
    motion.flipped[size_t(axis)] = true;
  }
  motion.shift = fixed_integers<3>(info[2], "shift");
  return promise(
      info.Env(), volume.device(),
      [volume, motion] {
        const torch::NoGradGuard no_grad;
        return moved(volume, motion);
      },
      &TensorHandle::create);
}

Napi::Value batch_intensities(const Napi::CallbackInfo& info) {
  const at::Tensor batch = TensorHandle::get(info[0], "batch");
  const std::vector<double> gains = numbers(info[1], "gains");
  const std::vector<double> offsets = numbers(info[2], "offsets");
  return promise(
      info.Env(), batch.device(),
      [batch, gains, offsets] {
        const torch::NoGradGuard no_grad;
        return with_intensities(batch, gains, offsets);
      },
      &TensorHandle::create);
}

Napi::Value loss_gradient(const Napi::CallbackInfo& info) {
  const Loss loss = read_loss(info[0]);
  const at::Tensor prediction = TensorHandle::get(info[1], "prediction");
  const at::Tensor target = TensorHandle::get(info[2], "target");
  return promise(
      info.Env(), prediction.device(),
      [loss, prediction, target] {
        return differentiated(
            prediction, [&loss, &target](const at::Tensor& leaf) { return loss_value(loss, leaf, target); });
      },
      &gradient_object);
}

Napi::Value patch_contrast_gradient(const Napi::CallbackInfo& info) {
  const Loss loss = read_loss(info[0]);
  const at::Tensor features = TensorHandle::get(info[1], "features");
  const at::Tensor share = TensorHandle::get(info[2], "share");
  const bool may_wait = info[3].ToBoolean();
  require(features.dim() == 2 && share.dim() == 1 && share.size(0) == features.size(0),
          "Expected features [M, E] and a share of lesion [M] but received ", features.sizes(), " and ",
          share.sizes());
  return promise(
      info.Env(), features.device(),
      [loss, features, share, may_wait] {
        const PatchChoice choice = balanced_patches(share, loss.lesion_share, loss.patches, may_wait);
        return differentiated(features, [&loss, &share, &choice](const at::Tensor& leaf) {
          return patch_contrast(leaf.index_select(0, choice.indices), share.index_select(0, choice.indices),
                                loss.temperature, loss.lesion_share, choice.taken);
        });
      },
      &gradient_object);
}

}  // namespace transfer_limits::functions
