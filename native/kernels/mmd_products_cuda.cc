#include "kernels/mmd_products_cuda.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cuda_stream.h"
#include "kernels/mmd.h"
#include "kernels/mmd_bfloat16_cuda.h"
#include "kernels/mmd_rounding.h"

namespace transfer_limits::cuda {
namespace {

// Of products of float32. A tile is 32 MB: it is read again while it lies in the cache of a large device.
constexpr int64_t kTileRows = 2048;
constexpr int64_t kTileColumns = 4096;
constexpr int64_t kPartRows = int64_t{1} << 13;  // that are made ready at once, through float64
// Of products of bfloat16: so many tiles are started at once (some 10 ms of a large device), then cancelling is seen to.
constexpr int64_t kTilesAtOnce = int64_t{1} << 14;

// A set of rows moved to the origin, and what is made of it once.
struct Float32Operand {
  at::Tensor original;  // [N, d]
  at::Tensor centred;   // [N, d]
  at::Tensor norms;     // [N]: squared, float64
};

Float32Operand float32_operand(const at::Tensor& set, const at::Tensor& centre) {
  const int64_t count = set.size(0);
  Float32Operand operand = {set, at::empty_like(set), at::empty({count}, centre.options())};
  for (int64_t first = 0; first < count; first += kPartRows) {
    const int64_t part = std::min(kPartRows, count - first);
    at::Tensor rows = operand.centred.narrow(0, first, part), norms = operand.norms.narrow(0, first, part);
    rows.copy_(set.narrow(0, first, part).to(at::kDouble) - centre);  // [n, d]
    norms.copy_(rows.to(at::kDouble).square().sum(1));
  }
  return operand;
}

// The same as terms of bfloat16, for tensor cores.
struct Bfloat16Operand {
  at::Tensor high, low, norms;
  TermRows rows;
};

Bfloat16Operand bfloat16_operand(const at::Tensor& set, const at::Tensor& centre, bool three_terms) {
  const int64_t features = set.size(1);
  const int64_t padded_rows = divided(set.size(0), kPairTileColumns) * kPairTileColumns;
  const int64_t padded_features = divided(features, kPairStep) * kPairStep;
  const at::TensorOptions terms = set.options().dtype(at::kBFloat16);
  Bfloat16Operand operand;
  operand.high = at::empty({padded_rows, padded_features}, terms);
  if (three_terms) operand.low = at::empty_like(operand.high);
  operand.norms = at::empty({padded_rows}, set.options());
  operand.rows = {memory_of<Bfloat16>(operand.high),
                  memory_of<Bfloat16>(operand.low),
                  memory_of<float>(operand.norms),
                  set.size(0),
                  padded_rows,
                  padded_features};
  split_rows(set.const_data_ptr<float>(), centre.const_data_ptr<double>(), features, operand.rows,
             current_stream());
  return operand;
}

// The sums over the pairs of a row on the left and one on the right; within one set each pair once, counted twice.
std::vector<double> pair_sums(const Float32Operand& left, const Float32Operand& right, bool same_set,
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
      stop_where(cancelled && cancelled());
      const int64_t columns = std::min(kTileColumns, right_rows - j);
      at::Tensor tile = buffer.narrow(0, 0, rows * columns).view({rows, columns});
      const PairTile products = {tile.const_data_ptr<float>(),
                                 rows,
                                 columns,
                                 left.norms.const_data_ptr<double>() + i,
                                 right.norms.const_data_ptr<double>() + j,
                                 same_set,
                                 i,
                                 j};
      const PairRows originals = {left.original.const_data_ptr<float>() + i * features,
                                  right.original.const_data_ptr<float>() + j * features, features,
                                  kMostProductRounding * std::sqrt(double(features))};
      const at::NoTF32Guard exact;  // whatever the process or its environment allows elsewhere
      at::mm_out(tile, left.centred.narrow(0, i, rows), right.centred.narrow(0, j, columns).t());
      for (size_t group = 0; group < sums.size(); ++group) {
        add_pairs(products, originals, factors.data() + group * kMostFactors, int(sums[group].size(1)),
                  sums[group].data_ptr<double>(), current_stream());
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

std::vector<double> pair_sums(const Bfloat16Operand& left, const Bfloat16Operand& right, bool same_set,
                              const std::vector<double>& factors, const std::function<bool()>& cancelled) {
  const auto count = int64_t(factors.size());
  const PairTiles tiles = PairTiles::between(left.rows.rows, right.rows.rows, same_set);
  const at::Tensor given = at::empty({count}, at::kFloat);
  std::copy(factors.begin(), factors.end(), given.mutable_data_ptr<float>());
  const at::Tensor own_factors = given.to(left.norms.device());
  const int64_t all = tiles.count();
  at::Tensor total = at::zeros({count}, at::kDouble);
  for (int64_t first = 0; first < all; first += kTilesAtOnce) {
    stop_where(cancelled && cancelled());
    const int64_t end = std::min(first + kTilesAtOnce, all);
    const at::Tensor sums =
        at::zeros({end - first, kPairWarps, count}, own_factors.options().dtype(at::kDouble));
    add_pairs_of_terms(left.rows, right.rows, tiles, first, end, own_factors.const_data_ptr<float>(),
                       int(count), sums.mutable_data_ptr<double>(), current_stream());
    total += sums.sum({0, 1}).cpu();
  }
  if (same_set) total *= 2.0;
  return {total.const_data_ptr<double>(), total.const_data_ptr<double>() + count};
}

template <typename Operand>
KernelSums kernel_sums(const Operand& a, const Operand& b, const std::vector<double>& factors,
                       const std::function<bool()>& cancelled) {
  KernelSums sums;
  sums.within_a = pair_sums(a, a, true, factors, cancelled);
  sums.within_b = pair_sums(b, b, true, factors, cancelled);
  sums.between = pair_sums(a, b, false, factors, cancelled);
  return sums;
}

}  // namespace

KernelSums kernel_sums_by_products(const at::Tensor& a, const at::Tensor& b, const at::Tensor& centre,
                                   const std::vector<double>& factors, Products products,
                                   const std::function<bool()>& cancelled) {
  const DeviceGuard guard(a);
  KernelSums sums;
  if (products == Products::kFloat32) {
    sums = kernel_sums(float32_operand(a, centre), float32_operand(b, centre), factors, cancelled);
  } else {
    const bool three_terms = products == Products::kThreeTermBfloat16;
    sums = kernel_sums(bfloat16_operand(a, centre, three_terms), bfloat16_operand(b, centre, three_terms),
                       factors, cancelled);
  }
  sums.rows_a = a.size(0);
  sums.rows_b = b.size(0);
  return sums;
}

}  // namespace transfer_limits::cuda
