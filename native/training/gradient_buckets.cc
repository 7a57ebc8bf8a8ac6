#include "training/gradient_buckets.h"

#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <string>

namespace transfer_limits {
namespace {

// The first bucket is small, so that the first sum starts early.
constexpr int64_t kFirstBucketBytes = int64_t(1) << 20, kBucketBytes = int64_t(25) << 20;

}  // namespace

GradientBuckets::GradientBuckets(std::shared_ptr<RankGroup> ranks, const std::vector<at::Tensor>& parameters)
    : ranks_(std::move(ranks)) {
  int64_t bytes = 0;
  for (auto parameter = parameters.rbegin(); parameter != parameters.rend(); ++parameter) {
    const int64_t most = buckets_.size() <= 1 ? kFirstBucketBytes : kBucketBytes;
    const bool full = !buckets_.empty() && (bytes + int64_t(parameter->nbytes()) > most ||
                                            parameter->dtype() != buckets_.back().parameters[0].dtype());
    if (buckets_.empty() || full) {
      buckets_.emplace_back();
      bytes = 0;
    }
    bytes += int64_t(parameter->nbytes());
    buckets_.back().parameters.push_back(*parameter);
    auto adds = torch::autograd::impl::grad_accumulator(*parameter);
    const auto hook = adds->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(
        [this, index = buckets_.size() - 1](const torch::autograd::variable_list& outputs,
                                            const torch::autograd::variable_list&) {
          is_ready(index);
          return outputs;
        }));
    hooks_.emplace_back(std::move(adds), hook);
  }
}

GradientBuckets::~GradientBuckets() {
  for (auto& [adds, hook] : hooks_) adds->del_post_hook(hook);
}

void GradientBuckets::begin() {
  counting_ = true;
  started_ = 0;
  for (Bucket& bucket : buckets_) bucket.missing = bucket.parameters.size();
}

void GradientBuckets::is_ready(size_t bucket) {
  if (!counting_) return;
  --buckets_[bucket].missing;
  while (started_ < buckets_.size() && buckets_[started_].missing == 0) start(buckets_[started_++]);
}

void GradientBuckets::start(Bucket& bucket) {
  const torch::NoGradGuard no_grad;
  std::vector<at::Tensor> rows;
  rows.reserve(bucket.parameters.size());
  for (const at::Tensor& parameter : bucket.parameters) {
    const at::Tensor& gradient = parameter.grad();
    rows.push_back(gradient.defined() ? gradient.reshape({-1})
                                      : at::zeros({parameter.numel()}, parameter.options()));
  }
  bucket.flat = at::cat(rows);
  bucket.sum = ranks_->start_sum(bucket.flat);
}

void GradientBuckets::finish() {
  const torch::NoGradGuard no_grad;
  counting_ = false;
  while (started_ < buckets_.size()) start(buckets_[started_++]);
  for (Bucket& bucket : buckets_) {
    bucket.sum->wait();
    int64_t place = 0;
    for (const at::Tensor& parameter : bucket.parameters) {
      const int64_t numbers = parameter.numel();
      if (const at::Tensor& gradient = parameter.grad(); gradient.defined())
        gradient.copy_(bucket.flat.narrow(0, place, numbers).view(gradient.sizes()));
      place += numbers;
    }
    bucket.sum.reset();
    bucket.flat = at::Tensor();
  }
}

}  // namespace transfer_limits
