#include "ops/random_fill.h"

#include "ops/expand.h"
#include "ops/nf4.h"
#include "ops/random_pieces.h"
#include "ops/support.h"

#include <gtest/gtest.h>

namespace tenfold {
namespace {

using ops::RandomFill;
using ops::RandomKind;

/// A fill of each kind for tests to begin with.
RandomFill fill_of(RandomKind kind) {
  RandomFill fill;
  fill.kind = kind;
  fill.key = 0x123456789abcdefULL;
  fill.limit = 0.37F;
  fill.scale = float_to_half(0.01F);
  fill.minimum = float_to_half(-0.08F);
  return fill;
}

template <RandomKind K>
std::vector<uint8_t> pieces(const RandomFill& fill, int64_t bytes) {
  std::vector<uint8_t> out;
  for (uint64_t i = 0; static_cast<int64_t>(out.size()) < bytes; ++i) {
    for (const uint16_t half : ops::random_piece<K>(fill, i)) {
      out.push_back(static_cast<uint8_t>(half));
      out.push_back(static_cast<uint8_t>(half >> 8));
    }
  }
  out.resize(static_cast<size_t>(bytes));
  return out;
}

template <RandomKind K>
void expect_pieces(int64_t bytes) {
  test::TestExec t;
  test::Guarded<uint8_t> out(1, bytes);
  RandomFill fill = fill_of(K);
  fill.data = reinterpret_cast<std::byte*>(out.data());
  fill.bytes = bytes;
  ops::random_fill(t.exec, fill);
  t.device.synchronize();
  EXPECT_EQ(out.values(), pieces<K>(fill, bytes)) << "kind " << static_cast<int>(K) << ", " << bytes << " bytes";
  EXPECT_TRUE(out.intact());
}

TEST(RandomFill, EveryDeviceWritesTheSameBits) {
  for (const int64_t bytes : {1, 7, 8, 63, 64, 4097}) expect_pieces<RandomKind::kBytes>(bytes);
  for (const int64_t n : {1, 2, 33, 5001}) {
    expect_pieces<RandomKind::kF32>(4 * n);
    expect_pieces<RandomKind::kMagnitudes>(4 * n);
    expect_pieces<RandomKind::kBF16>(2 * n);
    expect_pieces<RandomKind::kQ4_0>(18 * n);
    expect_pieces<RandomKind::kQ4_1>(20 * n);
    expect_pieces<RandomKind::kQ8_0>(34 * n);
  }
}

/// A weight of a layout with the arrays that it needs.
struct RandomWeight {
  std::vector<std::byte> data;
  std::vector<uint8_t> absmax8;
  std::vector<float> nested, code, nested_code;
  WeightView view;

  RandomWeight(WeightLayout layout, int64_t rows, int64_t cols, float spread)
      : code(ops::nf4_code().begin(), ops::nf4_code().end()),
        nested_code(ops::dynamic_code().begin(), ops::dynamic_code().end()) {
    view.name = "random weight";
    view.layout = layout;
    view.rows = rows;
    view.cols = cols;
    data.resize(static_cast<size_t>(view.bytes()));
    view.data = data.data();
    absmax8.resize(static_cast<size_t>(rows * cols / 64 + 1));
    nested.resize(absmax8.size() / 256 + 1);
    view.nf4 = {nullptr, absmax8.data(), nested.data(), nested_code.data(), ops::random_nf4_offset(spread), code.data()};
  }
};

constexpr WeightLayout kLayouts[] = {WeightLayout::kF32,  WeightLayout::kBF16, WeightLayout::kQ4_0,
                                     WeightLayout::kQ4_1, WeightLayout::kQ8_0, WeightLayout::kNF4};

TEST(RandomWeight, HasTheSpreadAskedFor) {
  const int64_t rows = 64, cols = 1024;
  const float spread = 1.0F / 32;
  for (const WeightLayout layout : kLayouts) {
    SCOPED_TRACE(name_of(layout));
    test::TestExec t;
    const RandomWeight w(layout, rows, cols, spread);
    ops::random_weight(t.exec, 3, 4, spread, w.view);
    t.device.synchronize();
    std::vector<float> row(static_cast<size_t>(cols));
    double sum = 0, squares = 0, largest = 0;
    for (int64_t r = 0; r < rows; ++r) {
      ops::expand_row_reference(w.view, r, row.data());
      for (const float v : row) {
        sum += static_cast<double>(v);
        squares += static_cast<double>(v) * static_cast<double>(v);
        largest = std::max(largest, std::abs(static_cast<double>(v)));
      }
    }
    const double n = rows * cols;
    // NF4's codes are not symmetric (mean 0.023, spread 0.53 of a block's largest), and its scales have a spread of their own.
    const bool nf4 = layout == WeightLayout::kNF4;
    EXPECT_LE(std::abs(sum / n), (nf4 ? 0.06 : 0.02) * static_cast<double>(spread));
    EXPECT_LE(std::abs(std::sqrt(squares / n) / static_cast<double>(spread) - 1), nf4 ? 0.12 : 0.01);
    EXPECT_LE(largest, 4.0 * static_cast<double>(spread));  // false for NaN
  }
}

TEST(RandomWeight, IsAFunctionOfSeedAndStream) {
  for (const WeightLayout layout : kLayouts) {
    SCOPED_TRACE(name_of(layout));
    test::TestExec t(DType::kF32, 64, 1);
    test::TestExec other(DType::kF32, 64, 3);
    const RandomWeight a(layout, 33, 64, 0.1F), b(layout, 33, 64, 0.1F), c(layout, 33, 64, 0.1F), d(layout, 33, 64, 0.1F);
    ops::random_weight(t.exec, 3, 4, 0.1F, a.view);
    ops::random_weight(other.exec, 3, 4, 0.1F, b.view);
    ops::random_weight(t.exec, 3, 5, 0.1F, c.view);
    ops::random_weight(t.exec, 4, 4, 0.1F, d.view);
    t.device.synchronize();
    EXPECT_TRUE(a.data == b.data && a.absmax8 == b.absmax8 && a.nested == b.nested);
    EXPECT_FALSE(a.data == c.data);
    EXPECT_FALSE(a.data == d.data);
  }
}

TEST(RandomWeight, RefusesALayoutThatItCannotMake) {
  test::TestExec t;
  const RandomWeight w(WeightLayout::kQ6_K, 1, 256, 0.1F);
  EXPECT_THROW(ops::random_weight(t.exec, 1, 1, 0.1F, w.view), InputError);
}

}  // namespace
}  // namespace tenfold
