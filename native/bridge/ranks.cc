#include "bridge/arguments.h"
#include "bridge/functions.h"
#include "bridge/handles.h"
#include "bridge/promise.h"
#include "training/rank_group.h"

namespace transfer_limits::functions {
namespace {

std::shared_ptr<RankGroup> group_of(const Napi::Value& value) {
  return RanksHandle::get(Environment::of(value.Env())->classes().ranks, value, "ranks");
}

std::shared_ptr<RankStore> store_of(const Napi::Value& value) {
  return RankStoreHandle::get(Environment::of(value.Env())->classes().rank_store, value, "store");
}

std::string text_or_none(const Napi::Object& object, const char* key) {
  return has(object, key) ? text(object.Get(key), key) : std::string();
}

RankGroupOptions read_options(const Napi::Value& value) {
  const Napi::Object object = transfer_limits::object(value, "options");
  RankGroupOptions options;
  options.rank = int(integer(object.Get("rank"), "rank"));
  options.ranks = int(integer(object.Get("ranks"), "ranks"));
  options.host = text_or_none(object, "host");
  const int64_t port = integer_or(object, "port", 0);
  require(port >= 0 && port <= 65535, "Expected a port from 0 to 65535 but received ", port);
  options.port = uint16_t(port);
  options.serves = boolean_or(object, "serves", false);
  options.file = text_or_none(object, "file");
  options.prefix = text_or_none(object, "prefix");
  options.address = text_or_none(object, "address");
  options.nccl = boolean_or(object, "nccl", true);
  options.join_timeout = std::chrono::milliseconds(
      integer_or(object, "joinMilliseconds", int64_t(options.join_timeout.count())));
  require(!options.file.empty() || !options.host.empty(), "Expected a host or a file of the ranks' store");
  return options;
}

}  // namespace

// Waits where disks are waited for: devices go on with what they have, and so does the store.
Napi::Value ranks_join(const Napi::CallbackInfo& info) {
  const RankGroupOptions options = read_options(info[0]);
  return promise(
      info.Env(), Executor::of_files(), [options] { return std::make_shared<RankGroup>(options); },
      [](Napi::Env env, std::shared_ptr<RankGroup> ranks) {
        return Napi::Value(RanksHandle::create(env, Environment::of(env)->classes().ranks, std::move(ranks)));
      });
}

Napi::Value rank_store_open(const Napi::CallbackInfo& info) {
  const RankGroupOptions options = read_options(info[0]);
  return promise(
      info.Env(), Executor::of_processes(), [options] { return std::make_shared<RankStore>(options); },
      [](Napi::Env env, std::shared_ptr<RankStore> store) {
        return Napi::Value(
            RankStoreHandle::create(env, Environment::of(env)->classes().rank_store, std::move(store)));
      });
}

Napi::Value rank_store_leave(const Napi::CallbackInfo& info) {
  const auto store = store_of(info[0]);
  const std::string name = text(info[1], "name"), left = text(info[2], "text");
  return promise(
      info.Env(), Executor::of_processes(),
      [store, name, left] {
        store->leave(name, left);
        return Nothing{};
      },
      &to_undefined);
}

Napi::Value rank_store_find(const Napi::CallbackInfo& info) {
  const auto store = store_of(info[0]);
  const std::string name = text(info[1], "name");
  return promise(
      info.Env(), Executor::of_processes(), [store, name] { return store->find(name); },
      [](Napi::Env env, const std::optional<std::string>& found) {
        return found ? Napi::Value(Napi::String::New(env, *found)) : env.Null();
      });
}

// In turn with the steps on that device: all ranks must add up in the same order.
Napi::Value ranks_sum(const Napi::CallbackInfo& info) {
  const auto ranks = group_of(info[0]);
  const torch::Device device = device_named(text(info[1], "device"));
  const std::vector<double> own = numbers(info[2], "numbers");
  return promise(
      info.Env(), device,
      [ranks, own] {
        at::Tensor all = at::empty({int64_t(own.size())}, at::kDouble);
        std::copy(own.begin(), own.end(), all.data_ptr<double>());
        ranks->sum(all);
        return std::vector<double>(all.data_ptr<double>(), all.data_ptr<double>() + all.numel());
      },
      [](Napi::Env env, const std::vector<double>& sums) { return Napi::Value(to_array(env, sums)); });
}

}  // namespace transfer_limits::functions
