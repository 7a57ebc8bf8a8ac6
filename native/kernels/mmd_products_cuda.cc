#include "kernels/mmd_products_cuda.h"

#include <algorithm>
#include <vector>

#include "error.h"
#include "kernels/cuda_stream.h"
#include "kernels/mmd_products.h"

namespace transfer_limits::cuda {
namespace {

// A tile of products is 32 MB: it is read again while it lies in the cache of a large device.
constexpr int64_t kTileRows = 2048;
constexpr int64_t kTileColumns = 4096;
constexpr int64_t kPartRows = int64_t{1} << 15;

// Rows moved to the origin, in the form in which they are multiplied.
struct Operand {
  at::Tensor rows;   // [N, d], or [N, 3 d]: the three terms beside each other
  at::Tensor norms;  // [N], float64: squared, of what is multiplied
};

// u.v is hi.hi + hi.lo + lo.hi, where a row is hi + lo, both bfloat16: one product of rows three times as long. The
// norms leave out lo.lo too, so that equal rows are at distance 0.
void split(const at::Tensor& centred, bool left, at::Tensor& rows, at::Tensor& norms) {
  const int64_t d = centred.size(1);
  const at::Tensor high = centred.to(at::kBFloat16), low = (centred - high.to(at::kFloat)).to(at::kBFloat16);
  rows.narrow(1, 0, d).copy_(high);
  rows.narrow(1, d, d).copy_(left ? high : low);
  rows.narrow(1, 2 * d, d).copy_(left ? low : high);
  const at::Tensor h = high.to(at::kDouble), l = low.to(at::kDouble);
  norms.copy_((h * (h + 2 * l)).sum(1));
}

Operand operand_of(const at::Tensor& set, const at::Tensor& centre, Products products, bool left) {
  const int64_t count = set.size(0), d = set.size(1);
  const bool three = products == Products::kThreeTermBfloat16;
  Operand operand;
  operand.rows = at::empty({count, three ? 3 * d : d},
                           set.options().dtype(products == Products::kFloat32 ? at::kFloat : at::kBFloat16));
  operand.norms = at::empty({count}, set.options().dtype(at::kDouble));
  for (int64_t first = 0; first < count; first += kPartRows) {
    const int64_t part = std::min(kPartRows, count - first);
    const at::Tensor centred =
        (set.narrow(0, first, part).to(at::kDouble) - centre).to(at::kFloat);  // [n, d]
    at::Tensor rows = operand.rows.narrow(0, first, part), norms = operand.norms.narrow(0, first, part);
    if (three) {
      split(centred, left, rows, norms);
    } else {
      rows.copy_(centred);
      norms.copy_(rows.to(at::kDouble).square().sum(1));
    }
  }
  return operand;
}

void multiply(at::Tensor& out, const at::Tensor& left, const at::Tensor& right) {
  if (left.scalar_type() == at::kFloat) {
    at::mm_out(out, left, right.t());
  } else if (left.is_cuda()) {
    at::mm_out(out, left, right.t(), at::kFloat);  // the sums are not rounded to bfloat16
  } else {
    at::mm_out(out, left.to(at::kFloat), right.to(at::kFloat).t());
  }
}

}  // namespace

std::vector<double> kernel_sums_by_products(const at::Tensor& left, const at::Tensor& right, bool same_set,
                                            const at::Tensor& centre, const std::vector<double>& factors,
                                            Products products, const std::function<bool()>& cancelled) {
  const DeviceGuard guard(left);
  const Operand a = operand_of(left, centre, products, /*left=*/true);
  const bool shared = same_set && products != Products::kThreeTermBfloat16;
  const Operand b = shared ? a : operand_of(right, centre, products, /*left=*/false);
  const at::Tensor buffer =
      at::empty({std::min(kTileRows, left.size(0)) * std::min(kTileColumns, right.size(0))},
                left.options().dtype(at::kFloat));
  const bool refined = products == Products::kFloat32;
  std::vector<double> answer;
  std::vector<at::Tensor> sums;  // of some factors each: [blocks, factors]
  for (size_t s = 0; s < factors.size(); s += kMostFactors) {
    const auto count = static_cast<int64_t>(std::min<size_t>(kMostFactors, factors.size() - s));
    sums.push_back(at::zeros({kPairBlocks, count}, left.options().dtype(at::kDouble)));
  }
  for (int64_t i = 0; i < left.size(0); i += kTileRows) {
    const int64_t rows = std::min(kTileRows, left.size(0) - i);
    for (int64_t j = same_set ? i : 0; j < right.size(0); j += kTileColumns) {
      if (cancelled && cancelled()) throw Error("ABORTED", "The work was stopped before it was finished");
      const int64_t columns = std::min(kTileColumns, right.size(0) - j);
      at::Tensor tile = buffer.narrow(0, 0, rows * columns).view({rows, columns});
      multiply(tile, a.rows.narrow(0, i, rows), b.rows.narrow(0, j, columns));
      const PairTile pairs = {
          tile.const_data_ptr<float>(),         rows,     columns, a.norms.const_data_ptr<double>() + i,
          b.norms.const_data_ptr<double>() + j, same_set, i,       j};
      PairRows originals;
      if (refined) {
        originals = {left.const_data_ptr<float>() + i * left.size(1),
                     right.const_data_ptr<float>() + j * right.size(1), left.size(1)};
      }
      for (size_t group = 0; group < sums.size(); ++group) {
        add_pairs(pairs, originals, factors.data() + group * kMostFactors, int(sums[group].size(1)),
                  sums[group].data_ptr<double>(), current_stream());
      }
    }
  }
  for (const at::Tensor& group : sums) {
    const at::Tensor total = group.sum(0).cpu();
    for (int64_t s = 0; s < total.size(0); ++s) {
      answer.push_back(total[s].item<double>() * (same_set ? 2.0 : 1.0));
    }
  }
  return answer;
}

}  // namespace transfer_limits::cuda
