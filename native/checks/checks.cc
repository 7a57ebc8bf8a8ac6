#include "checks/checks.h"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace transfer_limits::checks {

void Report::compare(const std::string& what, const at::Tensor& got, const at::Tensor& reference,
                     double tolerance) {
  const at::Tensor wanted = reference.cpu().to(at::kDouble), own = got.cpu().to(at::kDouble);
  double error = INFINITY;
  if (own.sizes() == wanted.sizes()) {
    error = ((own - wanted).norm() / wanted.norm().clamp_min(1e-300)).item<double>();
  }
  judge(what, error, tolerance);
}

void Report::judge(const std::string& what, double error, double tolerance) {
  auto found =
      std::find_if(lines_.begin(), lines_.end(), [&](const Line& line) { return line.what == what; });
  if (found == lines_.end()) found = lines_.insert(found, Line{what});
  Line& line = *found;
  line.tolerance = std::max(line.tolerance, tolerance);
  ++line.count;
  if (!(error <= tolerance)) {
    ++line.failed;
    line.worst = error;
  } else if (line.failed == 0) {
    line.worst = std::max(line.worst, error);
  }
}

void Report::fail(const std::string& what) {
  Line line{what};
  line.worst = INFINITY;
  line.count = line.failed = 1;
  lines_.push_back(line);
}

int64_t Report::print() {
  for (const Line& line : lines_) {
    std::printf("%-6s %-72s %4ld comparisons, relative error %.1e of at most %.1e\n",
                line.failed == 0 ? "ok" : "FAILED", line.what.c_str(), long(line.count), line.worst,
                line.tolerance);
    failed_ += line.failed;
  }
  std::fflush(stdout);
  lines_.clear();
  return failed_;
}

at::Tensor values(at::IntArrayRef sizes, uint64_t seed, at::ScalarType type) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  return (at::rand(sizes, generator, at::kDouble) * 2 - 1).to(type);
}

std::vector<at::Tensor> layouts(const at::Tensor& tensor) {
  std::vector<at::Tensor> result = {tensor.contiguous()};
  if (tensor.dim() == 5) result.push_back(tensor.contiguous(at::MemoryFormat::ChannelsLast3d));
  std::vector<int64_t> sizes = tensor.sizes().vec();
  for (int64_t& size : sizes) size = 2 * size + 1;
  at::Tensor part = at::full(sizes, NAN, tensor.options());
  for (int64_t axis = 0; axis < tensor.dim(); ++axis) {
    part = part.slice(axis, /*start=*/1, /*end=*/2 * tensor.size(axis) + 1, /*step=*/2);
  }
  result.push_back(part.copy_(tensor));
  return result;
}

}  // namespace transfer_limits::checks
