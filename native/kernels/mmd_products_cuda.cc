#include "kernels/mmd_products_cuda.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "error.h"
#include "kernels/cuda_stream.h"
#include "kernels/mmd.h"
#include "kernels/mmd_rounding.h"

namespace transfer_limits::cuda {
namespace {

// A tile of products is 32 MB: it is read again while it lies in the cache of a large device.
constexpr int64_t kTileRows = 2048;
constexpr int64_t kTileColumns = 4096;
constexpr int64_t kPartRows = int64_t{1} << 13;  // that are made ready at once, through float64

// A set of rows, and what is made of it once: the rows moved to the origin, in the form in which they are multiplied.
struct Operand {
  at::Tensor original;     // [N, d], float32
  at::Tensor left, right;  // [N, d], or [N, 3 d]: the three terms beside each other
  at::Tensor norms;        // [N]: squared, of what is multiplied; float64 beside float32, else float32
};

// u.v is hi.hi + hi.lo + lo.hi, where a row is hi + lo, both bfloat16: one product of rows three times as long, hi hi lo
// on the left and hi lo hi on the right. Both are parts of hi hi lo hi, [n, 4 d]. The norms leave out lo.lo too, so that
// equal rows are at distance 0.
void split(const at::Tensor& centred, at::Tensor& rows, at::Tensor& norms) {
  const int64_t d = centred.size(1);
  const at::Tensor high = centred.to(at::kBFloat16), low = (centred - high.to(at::kFloat)).to(at::kBFloat16);
  for (const int64_t place : {0, 1, 3}) rows.narrow(1, place * d, d).copy_(high);
  rows.narrow(1, 2 * d, d).copy_(low);
  const at::Tensor h = high.to(at::kDouble), l = low.to(at::kDouble);
  norms.copy_((h * (h + 2 * l)).sum(1));
}

Operand operand_of(const at::Tensor& set, const at::Tensor& centre, Products products) {
  const int64_t count = set.size(0), d = set.size(1);
  const bool three = products == Products::kThreeTermBfloat16, exact = products == Products::kFloat32;
  const at::Tensor all =
      at::empty({count, three ? 4 * d : d}, set.options().dtype(exact ? at::kFloat : at::kBFloat16));
  Operand operand;
  operand.original = set;
  operand.left = three ? all.narrow(1, 0, 3 * d) : all;
  operand.right = three ? all.narrow(1, d, 3 * d) : all;
  operand.norms = at::empty({count}, set.options().dtype(exact ? at::kDouble : at::kFloat));
  for (int64_t first = 0; first < count; first += kPartRows) {
    const int64_t part = std::min(kPartRows, count - first);
    const at::Tensor centred =
        (set.narrow(0, first, part).to(at::kDouble) - centre).to(at::kFloat);  // [n, d]
    at::Tensor rows = all.narrow(0, first, part), norms = operand.norms.narrow(0, first, part);
    if (three) {
      split(centred, rows, norms);
    } else {
      rows.copy_(centred);
      norms.copy_(rows.to(at::kDouble).square().sum(1));
    }
  }
  return operand;
}

void multiply(at::Tensor& out, const at::Tensor& left, const at::Tensor& right) {
  if (left.scalar_type() == at::kFloat) {
    const at::NoTF32Guard exact;  // whatever the process or its environment allows elsewhere
    at::mm_out(out, left, right.t());
  } else if (left.is_cuda()) {
    at::mm_out(out, left, right.t(), at::kFloat);  // the sums are not rounded to bfloat16
  } else {
    at::mm_out(out, left.to(at::kFloat), right.to(at::kFloat).t());
  }
}

template <typename Real>
PairTile<Real> pair_tile(const at::Tensor& products, const Operand& left, const Operand& right, bool same_set,
                         int64_t first_row, int64_t first_column) {
  return {products.const_data_ptr<float>(),
          products.size(0),
          products.size(1),
          left.norms.const_data_ptr<Real>() + first_row,
          right.norms.const_data_ptr<Real>() + first_column,
          same_set,
          first_row,
          first_column};
}

// The sums over the pairs of a row on the left and one on the right; within one set each pair once, counted twice.
std::vector<double> pair_sums(const Operand& left, const Operand& right, bool same_set,
                              const std::vector<double>& factors, const std::function<bool()>& cancelled) {
  const int64_t left_rows = left.original.size(0), right_rows = right.original.size(0);
  const int64_t features = left.original.size(1);
  const at::TensorOptions options = left.original.options();
  const at::Tensor buffer =
      at::empty({std::min(kTileRows, left_rows) * std::min(kTileColumns, right_rows)}, options);
  std::vector<at::Tensor> sums;  // of some factors each: [blocks, factors]
  for (size_t s = 0; s < factors.size(); s += kMostFactors) {
    const auto count = static_cast<int64_t>(std::min<size_t>(kMostFactors, factors.size() - s));
    sums.push_back(at::zeros({kPairBlocks, count}, options.dtype(at::kDouble)));
  }
  for (int64_t i = 0; i < left_rows; i += kTileRows) {
    const int64_t rows = std::min(kTileRows, left_rows - i);
    for (int64_t j = same_set ? i : 0; j < right_rows; j += kTileColumns) {
      if (cancelled && cancelled()) throw Error("ABORTED", "The work was stopped before it was finished");
      const int64_t columns = std::min(kTileColumns, right_rows - j);
      at::Tensor tile = buffer.narrow(0, 0, rows * columns).view({rows, columns});
      multiply(tile, left.left.narrow(0, i, rows), right.right.narrow(0, j, columns));
      for (size_t group = 0; group < sums.size(); ++group) {
        const double* own_factors = factors.data() + group * kMostFactors;
        const int count = int(sums[group].size(1));
        auto* own_sums = sums[group].data_ptr<double>();
        if (left.norms.scalar_type() == at::kDouble) {
          const PairRows originals = {left.original.const_data_ptr<float>() + i * features,
                                      right.original.const_data_ptr<float>() + j * features, features,
                                      kMostProductRounding * std::sqrt(double(features))};
          add_pairs(pair_tile<double>(tile, left, right, same_set, i, j), originals, own_factors, count,
                    own_sums, current_stream());
        } else {
          add_pairs(pair_tile<float>(tile, left, right, same_set, i, j), own_factors, count, own_sums,
                    current_stream());
        }
      }
    }
  }
  std::vector<double> answer;
  for (const at::Tensor& group : sums) {
    const at::Tensor total = group.sum(0).cpu();
    for (int64_t s = 0; s < total.size(0); ++s) {
      answer.push_back(total[s].item<double>() * (same_set ? 2.0 : 1.0));
    }
  }
  return answer;
}

}  // namespace

KernelSums kernel_sums_by_products(const at::Tensor& a, const at::Tensor& b, const at::Tensor& centre,
                                   const std::vector<double>& factors, Products products,
                                   const std::function<bool()>& cancelled) {
  const DeviceGuard guard(a);
  const Operand first = operand_of(a, centre, products), second = operand_of(b, centre, products);
  KernelSums sums;
  sums.rows_a = a.size(0);
  sums.rows_b = b.size(0);
  sums.within_a = pair_sums(first, first, true, factors, cancelled);
  sums.within_b = pair_sums(second, second, true, factors, cancelled);
  sums.between = pair_sums(first, second, false, factors, cancelled);
  return sums;
}

}  // namespace transfer_limits::cuda
