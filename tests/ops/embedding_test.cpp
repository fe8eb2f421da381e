#include "ops/embedding.h"

#include "ops/expand.h"
#include "ops/support.h"

#include <gtest/gtest.h>

namespace tenfold {
namespace {

using test::Guarded;
using test::TestExec;

WeightView weight_of(std::vector<float>& values, int64_t rows, int64_t cols) {
  WeightView w;
  w.name = "table";
  w.layout = WeightLayout::kF32;
  w.rows = rows;
  w.cols = cols;
  w.data = reinterpret_cast<const std::byte*>(values.data());
  return w;
}

TEST(Embedding, CopiesRowsAndRoundsOnce) {
  for (const int64_t cols : {1, 33, 576, 2080}) {
    auto values = test::random_values(11 * cols, 1);
    const WeightView table = weight_of(values, 11, cols);
    const std::vector<int32_t> ids = {3, 0, 10, 3, 7};
    Guarded<float> y(5, cols, cols + 3);
    Guarded<bf16> half(5, cols);
    TestExec test(DType::kBF16);
    ops::embedding_forward(test.exec, ids, table, y.view("y"));
    ops::embedding_forward(test.exec, ids, table, half.view("half"));
    for (int64_t t = 0; t < 5; ++t)
      for (int64_t i = 0; i < cols; ++i) {
        const float expected = values[static_cast<size_t>(ids[static_cast<size_t>(t)] * cols + i)];
        EXPECT_EQ(y.at(t, i), expected);
        EXPECT_EQ(half.at(t, i).bits, bf16(expected).bits);
      }
    EXPECT_TRUE(y.intact() && half.intact());
  }
}

TEST(Embedding, ExpandsQuantisedTables) {
  // 5 rows of 2 Q8_0 blocks: an f16 scale and 32 codes.
  const int64_t rows = 5, cols = 64;
  auto bytes = test::random_bytes(rows * 2 * 34, 1);
  for (size_t block = 0; block < static_cast<size_t>(rows * 2); ++block) {
    const uint16_t scale = float_to_half(0.25F + 0.125F * static_cast<float>(block));
    std::memcpy(bytes.data() + 34 * block, &scale, 2);
  }
  WeightView table;
  table.name = "table";
  table.layout = WeightLayout::kQ8_0;
  table.rows = rows;
  table.cols = cols;
  table.data = reinterpret_cast<const std::byte*>(bytes.data());
  const std::vector<int32_t> ids = {4, 1, 1};
  Guarded<float> y(3, cols);
  TestExec test;
  ops::embedding_forward(test.exec, ids, table, y.view("y"));
  for (int64_t t = 0; t < 3; ++t) {
    std::vector<float> expected(static_cast<size_t>(cols));
    ops::expand_row_reference(table, ids[static_cast<size_t>(t)], expected.data());
    for (int64_t i = 0; i < cols; ++i) EXPECT_EQ(y.at(t, i), expected[static_cast<size_t>(i)]);
  }
}

TEST(Embedding, BackwardAddsInTheOrderOfTokens) {
  for (const int64_t cols : {1, 65, 576}) {
    const int64_t tokens = 400, rows = 7;
    std::vector<int32_t> ids;
    for (int64_t t = 0; t < tokens; ++t) ids.push_back(static_cast<int32_t>(t * t % rows));
    const auto d_y = test::random_values(tokens * cols, 1);
    const auto before = test::random_values(rows * cols, 2);
    auto expected = before;
    for (int64_t t = 0; t < tokens; ++t)
      for (int64_t i = 0; i < cols; ++i)
        expected[static_cast<size_t>(ids[static_cast<size_t>(t)] * cols + i)] += d_y[static_cast<size_t>(t * cols + i)];
    for (const int threads : {1, 2, 3}) {
      Guarded<float> d_table(rows, cols, cols + 2), grad(tokens, cols, cols + 1);
      d_table.assign(before);
      grad.assign(d_y);
      TestExec test(DType::kF32, 64, threads);
      ops::embedding_backward(test.exec, ids, grad.view("d_y"), d_table.view("d_table"));
      EXPECT_TRUE(test::bits_equal(d_table.values(), expected)) << threads << " threads";
      EXPECT_TRUE(d_table.intact());
    }
  }
}

TEST(Embedding, RejectsIdsOutsideTheTable) {
  std::vector<float> values(4, 0.0F);
  const WeightView table = weight_of(values, 2, 2);
  Guarded<float> y(1, 2);
  TestExec test;
  EXPECT_DEATH(ops::embedding_forward(test.exec, std::vector<int32_t>{2}, table, y.view("y")), "id 2 at 0");
  EXPECT_DEATH(ops::embedding_forward(test.exec, std::vector<int32_t>{-1}, table, y.view("y")), "id -1 at 0");
}

}  // namespace
}  // namespace tenfold
