#include "ops/rope.h"

#include "ops/support.h"

#include <gtest/gtest.h>

namespace tenfold {
namespace {

using test::Guarded;
using test::TestExec;

std::vector<float> inverse_frequencies(int64_t half) {
  std::vector<float> out;
  for (int64_t i = 0; i < half; ++i)
    out.push_back(static_cast<float>(std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(half))));
  return out;
}

struct Table {
  Guarded<float> cos, sin;
  Table(Exec& exec, const std::vector<float>& inv_freq, const std::vector<int64_t>& positions, float factor = 1.0F)
      : cos(static_cast<int64_t>(positions.size()), static_cast<int64_t>(inv_freq.size())), sin(cos.rows(), cos.cols()) {
    ops::rope_table(exec, inv_freq, positions, factor, cos.view("cos"), sin.view("sin"));
  }
};

TEST(RopeTable, IsTheAngleInDoubleEvenFarOut) {
  TestExec test;
  const auto inv_freq = inverse_frequencies(32);
  const std::vector<int64_t> positions = {0, 1, 31, 4095, 81919, 1048575};
  Table table(test.exec, inv_freq, positions, 1.25F);
  for (size_t t = 0; t < positions.size(); ++t)
    for (size_t i = 0; i < inv_freq.size(); ++i) {
      const double angle = static_cast<double>(positions[t]) * static_cast<double>(inv_freq[i]);
      EXPECT_EQ(table.cos.at(static_cast<int64_t>(t), static_cast<int64_t>(i)), static_cast<float>(std::cos(angle) * 1.25));
      EXPECT_EQ(table.sin.at(static_cast<int64_t>(t), static_cast<int64_t>(i)), static_cast<float>(std::sin(angle) * 1.25));
    }
  EXPECT_TRUE(table.cos.intact() && table.sin.intact());
}

template <typename T>
void expect_rotation(int64_t tokens, int64_t heads, int64_t head_dim, bool inverse) {
  const int64_t half = head_dim / 2;
  TestExec test(DTypeOf<T>::value);
  std::vector<int64_t> positions;
  for (int64_t t = 0; t < tokens; ++t) positions.push_back(3 * t + 1);
  Table table(test.exec, inverse_frequencies(half), positions);
  const auto x = test::random_values<T>(tokens * heads * head_dim, 1);
  Guarded<T> rows(tokens, heads * head_dim, heads * head_dim + 12);
  rows.assign(x);
  TensorView view("x", DTypeOf<T>::value, {tokens, heads, head_dim}, rows.data());
  view.strides[0] = heads * head_dim + 12;
  ops::rope_apply(test.exec, view, table.cos.view("cos"), table.sin.view("sin"), inverse);

  const auto in = test::to_double(x);
  std::vector<double> expected(in.size()), bound(in.size());
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t i = 0; i < half; ++i) {
        const auto a = static_cast<size_t>((t * heads + h) * head_dim + i);
        const auto b = a + static_cast<size_t>(half);
        const double c = static_cast<double>(table.cos.at(t, i)),
                     s = static_cast<double>(table.sin.at(t, i)) * (inverse ? -1 : 1);
        expected[a] = in[a] * c - in[b] * s;
        expected[b] = in[b] * c + in[a] * s;
        for (const size_t at : {a, b})
          bound[at] =
              3 * 0x1p-24 * (std::abs(in[a]) + std::abs(in[b])) + test::unit_roundoff(DTypeOf<T>::value) * std::abs(expected[at]);
      }
  EXPECT_TRUE(test::near(rows.values(), expected, bound));
  EXPECT_TRUE(rows.intact());
}

TEST(RopeApply, RotatesHalvesOfStridedRows) {
  for (const int64_t tokens : {1, 33, 200})
    for (const int64_t head_dim : {2, 10, 64, 128})
      for (const bool inverse : {false, true}) {
        expect_rotation<float>(tokens, 3, head_dim, inverse);
        expect_rotation<bf16>(tokens, 3, head_dim, inverse);
      }
}

TEST(RopeApply, InverseIsTheGradient) {
  // <R x, y> = <x, R^T y> for every x and y.
  TestExec test;
  const int64_t tokens = 9, heads = 2, head_dim = 16;
  std::vector<int64_t> positions;
  for (int64_t t = 0; t < tokens; ++t) positions.push_back(100 * t);
  Table table(test.exec, inverse_frequencies(head_dim / 2), positions);
  const auto x = test::random_values(tokens * heads * head_dim, 1), y = test::random_values(tokens * heads * head_dim, 2);
  auto rotated = x, back = y;
  ops::rope_apply(test.exec, TensorView("x", DType::kF32, {tokens, heads, head_dim}, rotated.data()), table.cos.view("cos"),
                  table.sin.view("sin"), false);
  ops::rope_apply(test.exec, TensorView("y", DType::kF32, {tokens, heads, head_dim}, back.data()), table.cos.view("cos"),
                  table.sin.view("sin"), true);
  double left = 0, right = 0, magnitude = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    left += static_cast<double>(rotated[i]) * static_cast<double>(y[i]);
    right += static_cast<double>(x[i]) * static_cast<double>(back[i]);
    magnitude += std::abs(static_cast<double>(rotated[i]) * static_cast<double>(y[i]));
  }
  EXPECT_NEAR(left, right, 8 * 0x1p-24 * magnitude);
}

}  // namespace
}  // namespace tenfold
