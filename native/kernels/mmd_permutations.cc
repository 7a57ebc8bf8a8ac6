#include "kernels/mmd_permutations.h"

#include <algorithm>
#include <vector>

#include "error.h"
#include "kernels/mmd.h"
#include "kernels/mmd_rows.h"

namespace transfer_limits {
namespace {

constexpr int64_t kTileRows = 512;         // a tile of kernel values is 2 MiB
constexpr int64_t kDeviceTileRows = 2048;  // fewer and larger operations for a device
constexpr int64_t kDivisions = 1024;       // at a time

// Some of the pooled rows.
struct Part {
  int64_t first = 0, count = 0;
  at::Tensor rows;   // [n, d], float64, centred
  at::Tensor norms;  // [n], squared
};

class PermutedSums {
 public:
  PermutedSums(const at::Tensor& a, const at::Tensor& b, const at::Tensor& centre, double factor,
               const at::Tensor& members)
      : sets_{a, b},
        members_(members),
        centre_(centre),
        factor_(factor),
        tile_rows_(a.is_cuda() ? kDeviceTileRows : kTileRows),
        within_(at::zeros({members.size(0)}, centre_.options())),
        degrees_(at::zeros({members.size(1)}, centre_.options())) {}

  KernelSums run(const std::function<bool()>& cancelled) {
    const int64_t count = members_.size(1);
    for (int64_t i = 0; i < count; i += tile_rows_) {
      const Part rows = part(i);
      for (int64_t j = i; j < count; j += tile_rows_) {
        stop_where(cancelled && cancelled());
        add_tile(rows, i == j ? rows : part(j), i == j);
      }
    }
    return sums();
  }

 private:
  Part part(int64_t first) const {
    Part result;
    result.first = first;
    result.count = std::min(tile_rows_, members_.size(1) - first);
    const int64_t boundary = sets_[0].size(0), end = first + result.count;
    std::vector<at::Tensor> pieces;
    if (first < boundary) pieces.push_back(sets_[0].slice(0, first, std::min(end, boundary)));
    if (end > boundary) {
      pieces.push_back(sets_[1].slice(0, std::max(first, boundary) - boundary, end - boundary));
    }
    result.rows = at::cat(pieces).to(at::kDouble) - centre_;  // [n, d]
    result.norms = result.rows.square().sum(1);               // [n]
    return result;
  }

  // Pairs (i, j) with i < j of a tile on or right of the diagonal.
  void add_tile(const Part& rows, const Part& columns, bool on_diagonal) {
    at::Tensor kernel = at::addmm(columns.norms.unsqueeze(0), rows.rows, columns.rows.t(), /*beta=*/1,
                                  /*alpha=*/-2);  // [n, m]
    kernel.add_(rows.norms.unsqueeze(1)).clamp_min_(0).mul_(factor_).exp_();
    if (on_diagonal) kernel.triu_(/*diagonal=*/1);
    degrees_.narrow(0, rows.first, rows.count).add_(kernel.sum(1));
    degrees_.narrow(0, columns.first, columns.count).add_(kernel.sum(0));
    for (int64_t p = 0; p < members_.size(0); p += kDivisions) {
      const at::Tensor group = members_.narrow(0, p, std::min(kDivisions, members_.size(0) - p));
      const at::Tensor left = group.narrow(1, rows.first, rows.count).to(at::kDouble);         // [p, n]
      const at::Tensor right = group.narrow(1, columns.first, columns.count).to(at::kDouble);  // [p, m]
      within_.narrow(0, p, group.size(0)).add_((at::mm(left, kernel) * right).sum(1));
    }
  }

  // With a in {0, 1} for each row, K without its diagonal and K1 the rows' sums: a.Ka are the pairs within the first
  // set, a.K1 those and the pairs between the sets; what is left of all are the pairs within the second.
  KernelSums sums() const {
    const at::Tensor within_a = (within_ * 2).cpu();  // [P]
    std::vector<at::Tensor> reached;
    for (int64_t p = 0; p < members_.size(0); p += kDivisions) {
      const at::Tensor group = members_.narrow(0, p, std::min(kDivisions, members_.size(0) - p));
      reached.push_back(at::mv(group.to(at::kDouble), degrees_).cpu());
    }
    const at::Tensor between = at::cat(reached) - within_a;                     // [P]
    const at::Tensor within_b = degrees_.sum().cpu() - within_a - 2 * between;  // [P]
    const auto values = [](const at::Tensor& tensor) {
      const at::Tensor dense = tensor.contiguous();
      return std::vector<double>(dense.const_data_ptr<double>(),
                                 dense.const_data_ptr<double>() + dense.numel());
    };
    KernelSums result;
    result.rows_a = sets_[0].size(0);
    result.rows_b = sets_[1].size(0);
    result.within_a = values(within_a);
    result.within_b = values(within_b);
    result.between = values(between);
    return result;
  }

  at::Tensor sets_[2];
  at::Tensor members_;  // [P, N + M]
  at::Tensor centre_;   // [d]
  double factor_;
  int64_t tile_rows_;
  at::Tensor within_;   // [P]
  at::Tensor degrees_;  // [N + M]: the sum of a row's kernel values with all others
};

void check_members(const at::Tensor& members, int64_t rows_a, int64_t rows_b) {
  require(members.dim() == 2 && members.size(0) >= 1 && members.scalar_type() == at::kByte,
          "Expected members [divisions, rows] of bytes but received ", members.sizes(), " of ",
          at::toString(members.scalar_type()));
  require(members.size(1) == rows_a + rows_b, "Expected members of ", rows_a + rows_b,
          " rows, those of a and b, but received ", members.size(1));
  const at::Tensor first = members.sum(1);  // [P]
  require(members.le(1).all().item<bool>() && first.ge(1).all().item<bool>() &&
              first.lt(rows_a + rows_b).all().item<bool>(),
          "Expected 0 or 1 for each row in members, and both in each division");
}

}  // namespace

KernelSums permuted_kernel_sums(const at::Tensor& a, const at::Tensor& b, double sigma,
                                const at::Tensor& members, const std::function<bool()>& cancelled) {
  const at::NoGradGuard no_grad;
  const at::Tensor centre = check_pair(a, b).centre;
  const double factor = factor_of(sigma);
  check_members(members, a.size(0), b.size(0));
  KernelSums sums = PermutedSums(a, b, centre, factor, members.to(a.device())).run(cancelled);
  sums.matched = matched_kernel_sums(a, b, {factor});
  return sums;
}

}  // namespace transfer_limits
